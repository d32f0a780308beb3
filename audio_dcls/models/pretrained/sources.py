"""Read the weights that a backbone can start from: timm's, the authors', or a checkpoint of this program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import timm
import torch
from safetensors import SafetensorError
from torch import Tensor

from audio_dcls.errors import ArgumentError, CheckpointError, ConfigError, LabelError, PretrainedError
from audio_dcls.labels import LabelSet
from audio_dcls.models.authors_weights import (
    build_authors_backbone,
    describe_state,
    find_authors_family,
    read_state,
    to_timm_state,
)
from audio_dcls.models.checkpoint.checkpoint import load_tagger_tensors
from audio_dcls.models.checkpoint.tensor_file import is_ours
from audio_dcls.models.config import DclsConfig, ModelConfig
from audio_dcls.models.families import find_family
from audio_dcls.models.find_model import find_model
from audio_dcls.settings import build

_IMAGENET_1K_TAG = re.compile(r"(?!.*_(ft|dist)_)[a-z0-9]+_(e\d+_r\d+_)?in1k")
_BACKBONE = "backbone."


@dataclass(frozen=True)
class Weights:
    """A backbone's state under timm's names, and its origin.

    Attributes:
        source: name of the weights, or the file that they were read from.
        is_tagger: True for a tagger, with its stem and classifier; False for an image model.
        dcls: the swap of that model; None for a plain model.
        labels: the classes of its classifier; None for an image model.
    """

    source: str
    state: Mapping[str, Tensor]
    is_tagger: bool = False
    dcls: DclsConfig | None = None
    labels: LabelSet | None = None


def read_weights(name: str, weights_file: str | Path | None = None, dcls: DclsConfig | None = None) -> Weights:
    """Read the weights that `model.pretrained` means.

    Args:
        name: name of the model; without a tag, weights trained on ImageNet-1k alone are used if timm has them.
        weights_file: a .safetensors or .pth file in timm's or the authors' naming, or whatever `find_model` accepts;
            None fetches timm's weights from the hub.
        dcls: the swap of the new model; it gives the size and interpolation of the kernels of a file in the authors'
            naming, which does not contain them.

    Raises:
        PretrainedError: the weights are not available, or are of another model.
    """
    if weights_file is not None:
        try:
            path = find_model(weights_file, for_tagging=False)
        except (ArgumentError, CheckpointError) as error:
            raise PretrainedError(f"`model.pretrained_file` (={str(weights_file)!r}): {error}") from error
        if is_ours(path):
            return _read_tagger(name, path)
        theirs = _read_authors(name, path, dcls)
        if theirs is not None:
            return theirs
        weights_file = path
    full_name = choose_weights(name)
    return Weights(full_name if weights_file is None else str(weights_file), _read_timm(full_name, weights_file))


def choose_weights(name: str) -> str:
    """The full name of the weights that `model.pretrained` means; a name with a tag is returned unchanged.

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


def _read_tagger(name: str, path: Path) -> Weights:
    """Weights of a checkpoint of this program."""
    try:
        tensors, info = load_tagger_tensors(path)
        config = build(ModelConfig, info["model"], f"checkpoint '{path}'")
        labels = LabelSet.from_json_dict(info["labels"])
    except (CheckpointError, ConfigError, LabelError) as error:
        raise PretrainedError(f"`model.pretrained_file` (={str(path)!r}): {error}") from error
    if config.name.partition(".")[0] != name.partition(".")[0]:
        raise PretrainedError(
            f"`model.pretrained_file` (={str(path)!r}) holds a {config.name}, but `model.name` is {name!r}; "
            "name weights of the same model"
        )
    state = {key.removeprefix(_BACKBONE): value for key, value in tensors.items() if key.startswith(_BACKBONE)}
    return Weights(str(path), state, is_tagger=True, dcls=config.dcls, labels=labels)


def _read_authors(name: str, path: Path, dcls: DclsConfig | None) -> Weights | None:
    """Weights of a swapped model or a tagger in the authors' naming; None for any other file."""
    if not path.is_file():
        return None
    try:
        state = read_state(path)
        if find_authors_family(state) is None:
            return None
        weights = describe_state(state, path)
        if weights.kernel_count is None and not weights.is_tagger:
            return None
        if find_family(name) is not weights.family:
            raise CheckpointError(f"it holds a {weights.family.title}, but `model.name` is '{name}'")
        swap = None
        if weights.kernel_count is not None:
            swap = (dcls or DclsConfig()).model_copy(update={"kernel_count": weights.kernel_count})
        backbone = build_authors_backbone(weights, name, swap)
        labels = LabelSet.audioset()
        known = labels if weights.is_tagger and weights.num_classes == len(labels) else None
        timm_state = to_timm_state(weights, backbone)
    except CheckpointError as error:
        raise PretrainedError(f"`model.pretrained_file` (={str(path)!r}): {error}") from error
    return Weights(str(path), timm_state, is_tagger=weights.is_tagger, dcls=swap, labels=known)


def _read_timm(full_name: str, weights_file: str | Path | None) -> Mapping[str, Tensor]:
    """State of timm's own, unadapted model with the weights."""
    find_family(full_name)
    overlay = None if weights_file is None else {"file": str(weights_file)}
    try:
        with torch.random.fork_rng(devices=[]):
            model = timm.create_model(full_name, pretrained=True, pretrained_cfg_overlay=overlay)
    except (KeyError, OSError, RuntimeError, SafetensorError, UnpicklingError, ValueError) as error:
        raise PretrainedError(_describe_failure(full_name, weights_file, error)) from error
    return model.state_dict()


def _describe_failure(full_name: str, weights_file: str | Path | None, error: Exception) -> str:
    detail = " ".join(str(error).split())
    if weights_file is not None and ".SIG" in detail:
        return (
            f"`model.pretrained_file` (={str(weights_file)!r}) holds DCLS kernels in the authors' layout under timm's "
            "names; name a file with the authors' names, weights of the plain model, or a checkpoint of this program"
        )
    detail = detail[:200] or type(error).__name__
    if weights_file is not None:
        return (
            f"`model.pretrained_file` (={str(weights_file)!r}) does not hold readable weights of '{full_name}': "
            f"{detail}; give a .safetensors or .pth file of this model, or set model.pretrained=false"
        )
    return (
        f"`model.pretrained` (=true): the weights of '{full_name}' cannot be fetched from the hub: {detail}; "
        "connect to the network, or name a downloaded file in model.pretrained_file, or set model.pretrained=false"
    )


def check_swap(weights: Weights, wanted: DclsConfig | None) -> None:
    """Refuse the weights of a swapped model for a backbone that is swapped differently or not at all."""
    if weights.dcls is None:
        return
    if wanted is None:
        raise PretrainedError(
            f"`model.pretrained_file` (={weights.source!r}) holds a model with DCLS, but `model.dcls` is null; "
            "set model.dcls as it was, or name weights of a plain model"
        )
    for field in ("rule", "kernel_size", "kernel_count", "interpolation", "share"):
        theirs, ours = getattr(weights.dcls, field), getattr(wanted, field)
        if theirs != ours:
            raise PretrainedError(
                f"`model.dcls.{field}` (={ours!r}) must be {theirs!r}, as in the weights '{weights.source}'; "
                "or name weights of a plain model"
            )
