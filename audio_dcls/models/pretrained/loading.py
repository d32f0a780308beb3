"""Load trained weights into an adapted backbone, and report the origin of each entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.errors import PretrainedError
from audio_dcls.labels import LabelSet
from audio_dcls.models.families import CLASSIFIER, find_family
from audio_dcls.models.pretrained.class_rows import carry_class_rows
from audio_dcls.models.pretrained.sources import Weights
from audio_dcls.models.pretrained_report import PretrainedReport


def load_pretrained(
    backbone: nn.Module, name: str, weights: Weights, labels: LabelSet | None = None
) -> PretrainedReport:
    """Copy trained weights into a backbone wherever they fit.

    ImageNet weights have no counterpart for the stem's convolution, the classifier and the kernels of swapped layers,
    so these stay random, as in the paper. The bias of a swapped layer is loaded; its kernel is loaded if the weights
    are of a swapped model. From a tagger the stem, the swapped kernels and the classifier are loaded too: with `labels`
    the rows of the classes that it knows, and otherwise the whole classifier if it has the same shape. Every other
    entry must be in the weights, and every other weight must be used.

    Args:
        backbone: a model of `build_backbone`, swapped or not; changed in place.
        name: the model's name.
        weights: the weights to copy.
        labels: the backbone's classes.

    Raises:
        PretrainedError: an entry is missing, left over or has another shape.
    """
    rows = None
    if weights.labels is not None and labels is not None:
        rows = carry_class_rows(weights.state, weights.labels, backbone, labels)
        weights = weights if rows is None else replace(weights, state=rows.state)
    source, target = weights.state, backbone.state_dict()
    expected_random = _expect_random(backbone, find_family(name).stem_convolution, target, weights)
    loaded, adapted, problems = [], [], []
    for key in target:
        if key in expected_random:
            continue
        value = source.get(key)
        if value is None:
            problems.append(f"{key} is missing")
        elif rows is not None and key in rows.keys:
            adapted.append(key)
        elif value.shape == target[key].shape:
            loaded.append(key)
        elif _is_same_but_for_ones(value, target[key]):
            adapted.append(key)
        else:
            problems.append(f"{key} is {tuple(value.shape)}, not {tuple(target[key].shape)}")
    taken = set(loaded) | set(adapted)
    unused = tuple(key for key in source if key not in taken)
    problems += [f"{key} is left over" for key in unused if not _may_be_unused(key, expected_random)]
    if problems:
        raise PretrainedError(_describe_misfit(weights, problems))
    with torch.no_grad():
        for key in taken:
            target[key].copy_(source[key].reshape(target[key].shape))
    kept, new = ((), ()) if rows is None else (rows.kept, rows.new)
    return PretrainedReport(
        weights.source,
        tuple(loaded),
        tuple(adapted),
        expected_random,
        unused,
        kept_classes=kept,
        new_classes=new,
    )


def _describe_misfit(weights: Weights, problems: list[str]) -> str:
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    remedy = "remove the `model.overrides` that change its sizes"
    if weights.is_tagger:
        remedy = "take `model.overrides` from the config that they were trained with"
    return (
        f"`model.pretrained`: the weights '{weights.source}' do not fit the backbone: {shown}; {remedy}, or set "
        "model.pretrained=false"
    )


def _expect_random(
    backbone: nn.Module, stem_convolution: str, target: Mapping[str, Tensor], weights: Weights
) -> dict[str, str]:
    """Entries that have no counterpart in the weights: name -> reason."""
    source = weights.state
    swapped = {name for name, module in backbone.named_modules() if isinstance(module, DclsConv)}
    random: dict[str, str] = {}
    for key in target:
        owner, _, entry = key.rpartition(".")
        has_twin = key in source and source[key].shape == target[key].shape
        if weights.is_tagger and has_twin:
            continue
        if owner == stem_convolution or (key.startswith("stem.") and not has_twin):
            random[key] = "of the new stem"
        elif key.startswith(f"{CLASSIFIER}."):
            random[key] = "of the classifier"
        elif owner in swapped and entry != "bias" and (weights.dcls is None or not has_twin):
            random[key] = "of swapped kernels"
    return random


def _may_be_unused(key: str, expected_random: Mapping[str, str]) -> bool:
    return key.startswith(("stem.", f"{CLASSIFIER}.")) or key in expected_random


def _is_same_but_for_ones(source: Tensor, target: Tensor) -> bool:
    """Return whether two shapes differ only by axes of length 1, like those of a linear layer and a 1x1 convolution."""
    return [size for size in source.shape if size > 1] == [size for size in target.shape if size > 1]
