"""Self-contained checkpoints: weights in safetensors, everything else as JSON in its metadata. No pickle.

The JSON (`tensor_file`) holds the model's and the frontend's config, the labels in order, thresholds, seed, step,
metrics, the hash of the clips they were measured on, the training config, the licence and the versions it was written
with.

Axis legend: C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audio_dcls.errors import CheckpointError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models.activation import Activation, stored_activation
from audio_dcls.models.checkpoint.tensor_file import load_tensors, save_tensors
from audio_dcls.models.config import ModelConfig
from audio_dcls.models.stem import to_channels_last
from audio_dcls.models.tagger import AudioTagger, build_tagger
from audio_dcls.settings import build


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A model ready for inference, with its labels and everything else that the file says."""

    model: AudioTagger
    labels: LabelSet
    frontend: FrontendConfig
    info: dict[str, Any]
    path: Path
    activation: Activation = "sigmoid"
    """The function that turns its logits into probabilities."""

    @property
    def thresholds(self) -> np.ndarray | None:
        """(C,) probabilities above which a class counts as present, float64; None if no thresholds were fitted."""
        stored = self.info["thresholds"]
        if stored is None:
            return None
        return np.array([np.inf if value is None else value for value in stored["values"]], dtype=np.float64)


def save_checkpoint(
    path: Path,
    model: nn.Module,
    *,
    model_config: ModelConfig,
    frontend_config: FrontendConfig,
    labels: LabelSet,
    info: Mapping[str, Any],
) -> None:
    """Write a model with everything that is needed to use it, atomically.

    `labels` are the classes in the order of the logits. `info` is further JSON: activation (sigmoid where it is left
    out), seed, step, metrics, training config, versions.
    """
    document = {
        "activation": "sigmoid",
        "thresholds": None,
        "licence": None,
        **info,
        "kind": "tagger",
        "model": model_config.model_dump(mode="json"),
        "frontend": frontend_config.model_dump(mode="json"),
        "labels": labels.to_json_dict(),
    }
    save_tensors(path, model.state_dict(), document)


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> LoadedCheckpoint:
    """Rebuild a model from a `.safetensors` file of `save_checkpoint` on a device, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or its weights do not fit its own config.
    """
    path = Path(path)
    tensors, info = load_tagger_tensors(path)
    labels = LabelSet.from_json_dict(info["labels"])
    model_config = build(ModelConfig, info["model"], f"checkpoint '{path}'")
    frontend_config = build(FrontendConfig, info["frontend"], f"checkpoint '{path}'")
    activation = stored_activation(info, path)
    with torch.device("meta"):  # no random weights are drawn only to be replaced
        model = build_tagger(model_config, frontend_config, len(labels))
    wanted = model.state_dict()
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    reshaped = sorted(n for n in wanted.keys() & tensors.keys() if wanted[n].shape != tensors[n].shape)
    if missing or extra or reshaped:
        raise CheckpointError(
            f"checkpoint '{path}' does not fit its own config: {len(missing)} missing {missing[:3]}, "
            f"{len(extra)} unknown {extra[:3]}, {len(reshaped)} of another shape {reshaped[:3]}; it may be damaged"
        )
    typed = {name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()}
    model.load_state_dict(typed, assign=True)  # most stay mapped from the file
    to_channels_last(model.backbone)
    model = model.to(device).eval()
    return LoadedCheckpoint(model, labels, frontend_config, info, path, activation)


def load_tagger_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the JSON of a model's file, without building the model; `CheckpointError` for any other file."""
    tensors, info = load_tensors(path)
    if info.get("kind") != "tagger":
        raise CheckpointError(
            f"'{path}' holds '{info.get('kind')}', not a model; give the model.safetensors next to it"
        )
    return tensors, info


def check_labels(found: LabelSet, wanted: LabelSet, path: str | Path, wanted_by: str) -> None:
    """Refuse a checkpoint whose classes differ from the required ones, or have another order.

    `path` and `wanted_by`, the thing that requires the classes, are for the message of the `CheckpointError`.
    """
    if found.ids == wanted.ids:
        return
    if sorted(found.ids) == sorted(wanted.ids):
        c = next(index for index, (a, b) in enumerate(zip(found.ids, wanted.ids, strict=True)) if a != b)
        raise CheckpointError(
            f"checkpoint '{path}' has the classes of {wanted_by} in another order: class {c} is {found.names[c]!r}, "
            f"there {wanted.names[c]!r}; scores would go to the wrong names, use a checkpoint trained with these labels"
        )
    missing = [mid for mid in wanted.ids if mid not in set(found.ids)][:3]
    raise CheckpointError(
        f"checkpoint '{path}' has {len(found)} classes and {wanted_by} {len(wanted)}; it lacks {missing}; use a "
        "checkpoint trained with these labels"
    )


def store_thresholds(
    path: str | Path, values: Sequence[float] | np.ndarray, *, split: str, clip_id_hash: str | None
) -> None:
    """Replace the thresholds of a checkpoint; nothing else in it changes.

    `values` (C,) are probabilities, infinity for a class that never counts as present; `split` and the hash of its clip
    ids name the data that they were fitted on. A `CheckpointError` refuses other numbers, or a damaged file.
    """
    path = Path(path)
    tensors, info = load_tagger_tensors(path)
    num_classes = len(info["labels"]["ids"])
    if len(values) != num_classes:
        raise CheckpointError(f"checkpoint '{path}' has {num_classes} classes, but {len(values)} thresholds were given")
    wrong = [float(value) for value in values if not (0 <= value <= 1 or value == np.inf)]
    if wrong:
        raise CheckpointError(f"a threshold for '{path}' is {wrong[0]}; it must be between 0 and 1, or infinity")
    # JSON has no infinity.
    numbers = [float(value) if np.isfinite(value) else None for value in values]
    info["thresholds"] = {"values": numbers, "split": split, "clip_id_hash": clip_id_hash}
    save_tensors(path, tensors, info)
