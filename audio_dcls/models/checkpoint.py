"""Self-contained checkpoints: weights in safetensors, everything else as JSON in its metadata. No pickle.

The file's metadata has one key, `audio_dcls`, whose JSON holds the format version, the model's and the frontend's
config, the labels in order, seed, step, metrics, the training config and the versions it was written with.
Parameters that several layers share are stored once; `aliases` maps their other names to the stored one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from audio_dcls.errors import CheckpointError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models.config import ModelConfig
from audio_dcls.models.tagger import AudioTagger, build_tagger
from audio_dcls.settings import build

FORMAT_VERSION = 1
METADATA_KEY = "audio_dcls"


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A model ready for inference with what it needs to be understood."""

    model: AudioTagger
    labels: LabelSet
    frontend: FrontendConfig
    info: dict[str, Any]
    path: Path


def save_tensors(path: Path, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    """Write tensors and JSON to a safetensors file, atomically.

    The bytes go to a temporary file in the same folder, are flushed to disk, and only then take the final name.

    Args:
        path: file to write.
        tensors: name to tensor, on any device; tensors that are one object are stored once.
        info: JSON-serialisable mapping.
    """
    stored: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first_name: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and key in first_name:
            aliases[name] = first_name[key]
        else:
            first_name[key] = name
            stored[name] = tensor.detach().cpu().contiguous()
    document = json.dumps({**info, "format_version": FORMAT_VERSION, "aliases": aliases})
    content = safetensors.torch.save(stored, metadata={METADATA_KEY: document})
    write_atomically(path, content)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content so that a reader, or a power cut, sees the old or the new, never a mixture."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, not ours, or newer than this program.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint '{path}' does not exist; check the path")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"checkpoint '{path}' cannot be read as safetensors ({error}); it may be damaged"
        ) from error
    if METADATA_KEY not in metadata:
        raise CheckpointError(
            f"'{path}' is a safetensors file but not an audio_dcls checkpoint (no '{METADATA_KEY}' metadata)"
        )
    info = json.loads(metadata[METADATA_KEY])
    if info["format_version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint '{path}' has format {info['format_version']}, this program reads up to {FORMAT_VERSION}; "
            "upgrade audio-dcls"
        )
    for alias, name in info.pop("aliases").items():
        tensors[alias] = tensors[name]
    return tensors, info


def save_checkpoint(
    path: Path,
    model: nn.Module,
    *,
    model_config: ModelConfig,
    frontend_config: FrontendConfig,
    labels: LabelSet,
    info: Mapping[str, Any],
) -> None:
    """Write a model with everything needed to use it again.

    Args:
        path: file to write, atomically.
        model: the tagger.
        model_config: the config it was built from.
        frontend_config: the frontend's numbers.
        labels: the classes, in the order of the logits.
        info: further JSON: seed, step, metrics, training config, versions.
    """
    document = {
        **info,
        "kind": "tagger",
        "model": model_config.model_dump(mode="json"),
        "frontend": frontend_config.model_dump(mode="json"),
        "labels": labels.to_json_dict(),
    }
    save_tensors(path, model.state_dict(), document)


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> LoadedCheckpoint:
    """Rebuild a model from a checkpoint, in evaluation mode.

    Args:
        path: a `.safetensors` file written by `save_checkpoint`.
        device: where to put the model.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or its weights do not fit its own config.
    """
    path = Path(path)
    tensors, info = load_tensors(path)
    if info.get("kind") != "tagger":
        raise CheckpointError(f"'{path}' holds '{info.get('kind')}', not a model; give the model.safetensors beside it")
    labels = LabelSet.from_json_dict(info["labels"])
    model_config = build(ModelConfig, {**info["model"], "pretrained": False}, f"checkpoint '{path}'")
    frontend_config = build(FrontendConfig, info["frontend"], f"checkpoint '{path}'")
    model = build_tagger(model_config, frontend_config, len(labels))
    wanted = model.state_dict()
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    reshaped = sorted(n for n in wanted.keys() & tensors.keys() if wanted[n].shape != tensors[n].shape)
    if missing or extra or reshaped:
        raise CheckpointError(
            f"checkpoint '{path}' does not fit its own config: {len(missing)} missing {missing[:3]}, "
            f"{len(extra)} unknown {extra[:3]}, {len(reshaped)} of another shape {reshaped[:3]}; it may be damaged"
        )
    model.load_state_dict(tensors)
    model = model.to(device).eval()
    return LoadedCheckpoint(model=model, labels=labels, frontend=frontend_config, info=info, path=path)
