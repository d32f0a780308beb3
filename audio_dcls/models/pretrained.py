"""ImageNet weights for an adapted backbone, and an account of where each of its entries comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.errors import PretrainedError
from audio_dcls.models.families import find_family

_IMAGENET_1K_TAG = re.compile(r"(?!.*_(ft|dist)_)[a-z0-9]+_(e\d+_r\d+_)?in1k")
CLASSIFIER = "head.fc"


@dataclass(frozen=True)
class PretrainedReport:
    """Where each entry of a backbone's state comes from; the three lists together name every entry once.

    Attributes:
        source: name of the weights, or the file they were read from.
        loaded: copied as they are.
        adapted: copied after a reshape.
        random: left at their random start, name -> why.
        unused: entries of the source that have no place in the backbone.
    """

    source: str
    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    random: dict[str, str]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """One line for the log."""
        reasons: dict[str, int] = {}
        for reason in self.random.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        left = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        return f"{self.source}: {len(self.loaded)} entries loaded, {len(self.adapted)} reshaped; left random: {left}"

    def to_json_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def load_pretrained(backbone: nn.Module, name: str, *, weights_file: str | Path | None = None) -> PretrainedReport:
    """Copy ImageNet weights into a backbone wherever they fit.

    The stem's convolution, the classifier and the kernels of swapped layers have no counterpart and stay random, as in
    the paper; a swapped layer's bias is loaded. Everything else must be found, and everything found must be used.

    Args:
        backbone: a model of `build_backbone`, swapped or not; changed in place.
        name: its name; without a tag, the weights trained on ImageNet-1k alone are taken where timm has them.
        weights_file: a .safetensors or .pth file to read instead of asking the hub.

    Raises:
        PretrainedError: the weights cannot be had, or an entry is missing, left over or of another shape.
    """
    full_name = choose_weights(name)
    source = _read_source(full_name, weights_file)
    target = backbone.state_dict()
    expected_random = _expect_random(backbone, find_family(name).stem_convolution, target, source)
    loaded, adapted, problems = [], [], []
    for key in target:
        if key in expected_random:
            continue
        value = source.get(key)
        if value is None:
            problems.append(f"{key} is missing")
        elif value.shape == target[key].shape:
            loaded.append(key)
        elif _is_same_but_for_ones(value, target[key]):
            adapted.append(key)
        else:
            problems.append(f"{key} is {tuple(value.shape)}, not {tuple(target[key].shape)}")
    taken = set(loaded) | set(adapted)
    unused = tuple(key for key in source if key not in taken)
    problems += [f"{key} is left over" for key in unused if not _may_be_unused(key, expected_random)]
    where = full_name if weights_file is None else str(weights_file)
    if problems:
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise PretrainedError(
            f"`model.pretrained`: the weights '{where}' do not fit the backbone: {shown}; remove the "
            "`model.overrides` that change its sizes, or set model.pretrained=false"
        )
    with torch.no_grad():
        for key in taken:
            target[key].copy_(source[key].reshape(target[key].shape))
    return PretrainedReport(where, tuple(loaded), tuple(adapted), expected_random, unused)


def choose_weights(name: str) -> str:
    """The full name of the weights `pretrained` stands for.

    Args:
        name: timm's name; with a tag it is kept.

    >>> choose_weights("convnext_tiny"), choose_weights("convnext_tiny.in12k")
    ('convnext_tiny.fb_in1k', 'convnext_tiny.in12k')
    """
    if "." in name:
        return name
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    imagenet_1k = [tag for tag in tags if _IMAGENET_1K_TAG.fullmatch(tag)]
    default = timm.get_pretrained_cfg(name)
    tag = imagenet_1k[0] if imagenet_1k else (default.tag if default is not None else None)
    return f"{name}.{tag}" if tag else name


def _read_source(full_name: str, weights_file: str | Path | None) -> Mapping[str, Tensor]:
    """State of timm's own, unadapted model with the weights in it."""
    find_family(full_name)
    overlay = None if weights_file is None else {"file": str(weights_file)}
    try:
        with torch.random.fork_rng(devices=[]):
            model = timm.create_model(full_name, pretrained=True, pretrained_cfg_overlay=overlay)
    except (KeyError, OSError, RuntimeError, SafetensorError, UnpicklingError, ValueError) as error:
        raise PretrainedError(_describe_failure(full_name, weights_file, error)) from error
    return model.state_dict()


def _describe_failure(full_name: str, weights_file: str | Path | None, error: Exception) -> str:
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    if weights_file is not None:
        return (
            f"`model.pretrained_file` (={str(weights_file)!r}) does not hold readable weights of '{full_name}': "
            f"{detail}; give a .safetensors or .pth file of this model, or set model.pretrained=false"
        )
    return (
        f"`model.pretrained` (=true): the weights of '{full_name}' cannot be fetched from the hub: {detail}; "
        "connect to the network, or name a downloaded file in model.pretrained_file, or set model.pretrained=false"
    )


def _expect_random(
    backbone: nn.Module, stem_convolution: str, target: Mapping[str, Tensor], source: Mapping[str, Tensor]
) -> dict[str, str]:
    """Entries that no ImageNet weights fit: name -> why."""
    swapped = {name for name, module in backbone.named_modules() if isinstance(module, DclsConv)}
    random: dict[str, str] = {}
    for key in target:
        owner, _, entry = key.rpartition(".")
        has_twin = key in source and source[key].shape == target[key].shape
        if owner == stem_convolution or (key.startswith("stem.") and not has_twin):
            random[key] = "of the new stem"
        elif key.startswith(f"{CLASSIFIER}."):
            random[key] = "of the classifier"
        elif owner in swapped and entry != "bias":
            random[key] = "of swapped kernels"
    return random


def _may_be_unused(key: str, expected_random: Mapping[str, str]) -> bool:
    return key.startswith(("stem.", f"{CLASSIFIER}.")) or key in expected_random


def _is_same_but_for_ones(source: Tensor, target: Tensor) -> bool:
    """Whether two shapes differ only by axes of length 1, as a linear layer's and a 1x1 convolution's do."""
    return [size for size in source.shape if size > 1] == [size for size in target.shape if size > 1]
