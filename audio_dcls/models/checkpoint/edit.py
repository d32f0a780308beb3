"""Make checkpoints from checkpoints: the average of several, or a copy without what only training needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio_dcls.errors import ArgumentError, CheckpointError
from audio_dcls.files import file_sha256
from audio_dcls.labels import LabelSet
from audio_dcls.models.checkpoint.checkpoint import check_labels, load_checkpoint, load_tagger_tensors
from audio_dcls.models.checkpoint.tensor_file import save_tensors

ARCHITECTURE_KEYS = ("name", "overrides", "dcls")
"""The keys of a model's config that determine its tensors."""
KEPT_KEYS = (
    "kind",
    "model",
    "frontend",
    "labels",
    "activation",
    "thresholds",
    "licence",
    "metrics",
    "eval_id_hash",
    "aliases",
    "averaged_from",
    "converted_from",
    "format_version",
)


def average_checkpoints(sources: Sequence[str | Path], target: str | Path) -> Path:
    """Write the average of models that started from the same weights, such as checkpoints of one run (Izmailov et al.,
    2018; Wortsman et al., 2022).

    Every floating point tensor is the mean, in float64, of those of the sources; others are taken from the first
    source. Scores and thresholds are left out, since those of the sources are not valid for the average. The sources,
    two or more (`ArgumentError`), have the same architecture, frontend and order of classes (`CheckpointError`).
    """
    if len(sources) < 2:
        raise ArgumentError(f"an average needs two checkpoints or more, but {len(sources)} was given")
    paths = [Path(source) for source in sources]
    twice = [path for path in paths if [p.resolve() for p in paths].count(path.resolve()) > 1]
    if twice:
        raise ArgumentError(f"'{twice[0]}' is named more than once, which would give it more weight; name it once")
    first, info = load_tagger_tensors(paths[0])
    totals = {name: tensor.double() for name, tensor in first.items() if tensor.is_floating_point()}
    for path in paths[1:]:
        tensors, other = load_tagger_tensors(path)
        _check_alike(info, other, paths[0], path)
        if {n: t.shape for n, t in tensors.items()} != {n: t.shape for n, t in first.items()}:
            raise CheckpointError(f"checkpoint '{path}' has other tensors than '{paths[0]}'; it may be damaged")
        for name in totals:
            totals[name] = totals[name] + tensors[name].double()
    means = {name: (total / len(paths)).to(first[name].dtype) for name, total in totals.items()}
    document = {
        **{key: value for key, value in info.items() if key != "aliases"},
        **dict.fromkeys(("metrics", "thresholds", "seed", "step", "epoch")),
        "averaged_from": [{"file": path.name, "sha256": file_sha256(path)} for path in paths],
    }
    _save(Path(target), _shared_again({**first, **means}, first), document)
    return Path(target)


def strip_checkpoint(source: str | Path, target: str | Path) -> Path:
    """Write a checkpoint without what only training needs: the training config with its paths, and the versions.

    Everything that is needed to use the model, to know its scores and to cite it is kept. Both files may be the same.
    """
    tensors, info = load_tagger_tensors(Path(source))
    model = {**info["model"], "pretrained": False, "pretrained_file": None}
    document = {**{key: info[key] for key in KEPT_KEYS if key in info}, "model": model}
    _save(Path(target), tensors, document)
    return Path(target)


def examine_checkpoint(path: str | Path, labels: LabelSet | None = None) -> list[str]:
    """List the faults of a checkpoint, one sentence per fault; the list is empty if the checkpoint is intact.

    This checks the checksum, the format, that the tensors fit the checkpoint's own config, and that every number is
    finite; and, if `labels` are given, that the classes are those, in the same order.
    """
    try:
        loaded = load_checkpoint(path)
    except CheckpointError as error:
        return [str(error)]
    faults = []
    state = loaded.model.state_dict()
    infinite = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if infinite:
        faults.append(
            f"checkpoint '{path}' has {len(infinite)} tensors with numbers that are not finite, '{infinite[0]}' among "
            "them; its training failed, use an earlier checkpoint"
        )
    if loaded.thresholds is not None and len(loaded.thresholds) != len(loaded.labels):
        faults.append(
            f"checkpoint '{path}' has {len(loaded.thresholds)} thresholds for {len(loaded.labels)} classes; fit them "
            "again by `audio-dcls eval --fit-thresholds`"
        )
    if labels is not None:
        try:
            check_labels(loaded.labels, labels, path, "the label file")
        except CheckpointError as error:
            faults.append(str(error))
    return faults


def _check_alike(info: Mapping[str, Any], other: Mapping[str, Any], first: Path, path: Path) -> None:
    """Refuse to average models that differ."""
    labels = LabelSet.from_json_dict(info["labels"])
    check_labels(LabelSet.from_json_dict(other["labels"]), labels, path, f"'{first}'")
    for key in ARCHITECTURE_KEYS:
        if info["model"].get(key) != other["model"].get(key):
            raise CheckpointError(
                f"checkpoint '{path}' has `model.{key}` {other['model'].get(key)!r} and '{first}' "
                f"{info['model'].get(key)!r}; average checkpoints of one architecture"
            )
    for key in ("frontend", "activation"):
        if info[key] != other[key]:
            raise CheckpointError(
                f"checkpoint '{path}' has another `{key}` than '{first}'; average checkpoints that were trained alike"
            )


def _shared_again(tensors: Mapping[str, Tensor], first: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make tensors that were one object one object again, so that they are stored once."""
    stored: dict[tuple[int, torch.Size], Tensor] = {}
    return {
        name: stored.setdefault((first[name].data_ptr(), first[name].shape), tensor) if tensor.numel() else tensor
        for name, tensor in tensors.items()
    }


def _save(target: Path, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(target, tensors, info)
