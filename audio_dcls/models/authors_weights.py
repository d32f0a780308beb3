"""Weight files in the authors' own naming: read without running their pickle, and renamed to timm's names.

A file is a state dict, or a dict with a state dict under `model` next to what training needs. Every layer that was
swapped for DCLS has `weight` (C, 1, K), `P` and `SIG` (2, C, 1, K), and, if it has a bias, `bias` (C). What several
layers share is stored once per layer. timm maps the names of the three backbones; P and SIG keep their layer.

Axis legend: C channels, K elements.
"""

from __future__ import annotations

import argparse
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import Any

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.reference_layout import state_from_reference, state_to_reference
from audio_dcls.dcls.swap.swap import plan_swap
from audio_dcls.errors import ArgumentError, CheckpointError
from audio_dcls.files import path_remedy
from audio_dcls.models.backbones import build_backbone
from audio_dcls.models.config import DclsConfig
from audio_dcls.models.families import FAMILIES, AuthorsLayout, Family
from audio_dcls.models.stem import PATCH_SIZE

_MODEL_KEY = "model"


@dataclass(frozen=True)
class AuthorsWeights:
    """A file in the authors' naming, and the model that its shapes describe.

    `depths` and `dims` are the blocks and the width of each stage, `num_classes` the outputs. `kernel_count` is the
    number of elements of each DCLS kernel; None for a plain model. `is_tagger` is False for a stem of images.
    """

    path: Path
    family: Family
    state: Mapping[str, Tensor]
    depths: tuple[int, ...]
    dims: tuple[int, ...]
    num_classes: int
    kernel_count: int | None
    is_tagger: bool

    @property
    def layout(self) -> AuthorsLayout:
        """The original names of the model's entries."""
        assert self.family.authors_layout is not None
        return self.family.authors_layout


def find_authors_family(keys: Iterable[str]) -> Family | None:
    """The family whose original names these are; None if they are not the authors' names.

    >>> find_authors_family(["downsample_layers.0.0.weight", "stages.0.0.norm.weight", "head.weight"]).title
    'ConvNeXt'
    >>> find_authors_family(["stem.0.weight", "stages.0.blocks.0.norm.weight"]) is None
    True
    """
    names = list(keys)
    for family in FAMILIES:
        layout = family.authors_layout
        if layout is not None and any(layout.block.fullmatch(name) for name in names):
            return family
    return None


def _known_titles() -> str:
    """Titles of the families with published files, for messages.

    >>> _known_titles()
    'ConvNeXt, ConvFormer or FastViT'
    """
    *titles, last = [family.title for family in FAMILIES if family.authors_layout is not None]
    return f"{', '.join(titles)} or {last}"


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .pth or .safetensors file. Nothing in a pickle is run.

    Only tensors, plain values and `argparse.Namespace` (which holds the options of the authors' training) are built
    from a pickle. A `CheckpointError` refuses a file that needs anything else, is damaged, or contains no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"weights '{path}' do not exist; {path_remedy(path)}")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if isinstance(content, Mapping) and isinstance(content.get(_MODEL_KEY), Mapping):
        content = content[_MODEL_KEY]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"weights '{path}' hold no named tensors, alone or under 'model'; give a state dict")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _read_safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"weights '{path}' are damaged ({error}); copy or download them again") from error


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Detected pickle protocol"
            )  # a file that torch did not write is refused below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted is None:
            raise CheckpointError(
                f"weights '{path}' are not a file of torch, or are damaged, and nothing in it was run; "
                "copy or download them again"
            ) from error
        raise CheckpointError(
            f"weights '{path}' need '{wanted[1]}' to be run while they are read, which could be any program; nothing "
            "was run. Weights need only tensors: get the file from where its authors published it"
        ) from error
    except (EOFError, OSError, RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        raise CheckpointError(f"weights '{path}' are damaged ({detail}); copy or download them again") from error


def read_authors_weights(path: str | Path) -> AuthorsWeights:
    """Read a file in the authors' naming, and derive the model from its shapes. Errors: `CheckpointError`."""
    return describe_state(read_state(path), path)


def describe_state(state: Mapping[str, Tensor], path: str | Path) -> AuthorsWeights:
    """Derive the model from the shapes of a state in the authors' naming; `path` is for messages.

    A `CheckpointError` says that the names are not the authors', or that names which every model has are missing.
    """
    path = Path(path)
    family = find_authors_family(state)
    layout = None if family is None else family.authors_layout
    if family is None or layout is None:
        raise CheckpointError(
            f"weights '{path}' are not in the authors' naming of a {_known_titles()} (they begin with "
            f"{', '.join(list(state)[:2])}); give a file of their records, or one saved by their code"
        )
    if layout.head not in state:
        raise CheckpointError(f"weights '{path}' have no '{layout.head}'; give a complete {family.title}")
    widths: dict[int, list[int]] = {}
    for name, value in state.items():
        block = layout.block.fullmatch(name)
        if block:
            widths.setdefault(int(block[1]), []).append(value.shape[0])
    stages = [widths[stage] for stage in sorted(widths)]
    positions = next((value for name, value in state.items() if name.endswith(".P")), None)
    return AuthorsWeights(
        path=path,
        family=family,
        state=state,
        depths=tuple(len(blocks) for blocks in stages),
        dims=tuple(blocks[0] for blocks in stages),
        num_classes=state[layout.head].shape[0],
        kernel_count=None if positions is None else positions.shape[-1],
        is_tagger=layout.stem in state and tuple(state[layout.stem].shape[1:]) == (1, *PATCH_SIZE),
    )


def build_authors_backbone(weights: AuthorsWeights, name: str, dcls: DclsConfig | None) -> nn.Module:
    """A model with the structure of a file, without memory for its entries, for `to_timm_state`.

    `name` is timm's name of the backbone; `dcls` is None for a plain model.
    """
    with torch.device("meta"):
        if weights.is_tagger:
            sizes = {"depths": list(weights.depths), "dims": list(weights.dims)}
            backbone = build_backbone(name, weights.num_classes, overrides=sizes)
        else:
            backbone = timm.create_model(name.partition(".")[0], num_classes=weights.num_classes)
        if dcls is not None:
            plan = plan_swap(
                backbone,
                dcls.rule,
                dilated_kernel_size=dcls.kernel_size,
                kernel_count=dcls.kernel_count,
                interpolation=dcls.interpolation,
                share=dcls.share,
            )
            plan.apply(backbone)
    return backbone


def to_timm_state(weights: AuthorsWeights, backbone: nn.Module) -> dict[str, Tensor]:
    """The entries under timm's names, with our positions and spreads in place of P and SIG.

    The backbone has the structure of the file and the same layers swapped; it may be on the meta device. A
    `CheckpointError` lists entries that are missing, left over, of another shape, or shared here but not in the file.
    """
    theirs = state_to_reference(backbone)
    # timm's functions read the names and shapes of a model's entries, and whether its head is linear.
    stand_in = SimpleNamespace(state_dict=lambda: theirs, head=backbone.get_submodule("head"))
    try:
        renamed = weights.layout.rename(dict(weights.state), stand_in)
        state = state_from_reference(renamed, backbone)
    except KeyError as error:
        raise CheckpointError(_misfit(weights, [f"{error.args[0]} is left over"])) from error
    except (ArgumentError, RuntimeError) as error:
        raise CheckpointError(_misfit(weights, [str(error)])) from error
    wanted = backbone.state_dict()
    problems = [f"{key} is missing" for key in wanted if key not in state]
    problems += [f"{key} is left over" for key in state if key not in wanted]
    problems += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    problems += _torn_apart(state, backbone)
    if problems:
        raise CheckpointError(_misfit(weights, problems))
    return state


def _torn_apart(state: Mapping[str, Tensor], backbone: nn.Module) -> list[str]:
    """Messages about shared positions and spreads that differ between the layers of a group."""
    first: dict[int, str] = {}
    problems = []
    for name, layer in backbone.named_modules():
        if not isinstance(layer, DclsConv):
            continue
        for part in ("positions", "spreads"):
            key, shared = f"{name}.{part}", getattr(layer, part)
            if shared is None or key not in state:
                continue
            other = first.setdefault(id(shared), key)
            if not torch.equal(state[key], state[other]):
                problems.append(f"{key} differs from {other}, which it should share")
    return problems


def _misfit(weights: AuthorsWeights, problems: list[str]) -> str:
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    return (
        f"weights '{weights.path}' do not fit a {weights.family.title} of depths {weights.depths} and widths "
        f"{weights.dims}: {shown}; name the model, the size of its kernels and their interpolation as they were trained"
    )
