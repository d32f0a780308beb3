"""The models that benchmarks compare: our DCLS, the 7x7 baseline, unchanged timm, and the authors' DCLS.

Axes: B batch, C classes, M mels, F frames.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import nn

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d
from audio_dcls.dcls.reference_layout import to_reference_module
from audio_dcls.models import DclsConfig, build_backbone, swap_backbone
from audio_dcls.models.tagger import use_fast_depthwise

NUM_CLASSES = 527
INPUT_SHAPE = (1, 128, 1001)
"""Channels, mels and frames of the paper's spectrogram of ten seconds."""

PEERS = {
    "dcls": "our DCLS-Gauss 23x23, 26 elements",
    "7x7": "the 7x7 baseline through our depthwise operator",
    "stock": "timm's 7x7 in channels_last, torch's own convolutions",
    "authors": "timm's model with the authors' Dcls2d (package dcls), as published",
}


def find_authors_library() -> ModuleType | None:
    """The authors' modules (`dcls` on PyPI), or None if they are not installed."""
    if importlib.util.find_spec("DCLS") is None:
        return None
    with _quiet():
        return importlib.import_module("DCLS.construct.modules")


def build_peer(peer: str, model_name: str, *, num_classes: int = NUM_CLASSES) -> nn.Module:
    """A backbone of the paper in the form of one of `PEERS`, randomly initialised, (B, 1, 128, 1001) -> (B, C).

    The backbone has timm's name, and the peer "authors" needs their library.
    """
    backbone = build_backbone(model_name, num_classes)
    if peer in ("dcls", "authors"):
        swap_backbone(backbone, DclsConfig())
    if peer in ("dcls", "7x7"):
        use_fast_depthwise(backbone)
    if peer == "authors":
        use_authors_layers(backbone)
    return backbone


def use_authors_layers(model: nn.Module) -> None:
    """Replace our layers by the authors', with the same values and the same sharing."""
    library: Any = find_authors_library()
    shared: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}
    with _quiet():
        for parent in list(model.modules()):
            for name, child in list(parent._modules.items()):
                if isinstance(child, DclsConv):
                    theirs: Any = to_reference_module(child, library)
                    theirs.P, theirs.SIG = shared.setdefault(id(child.positions), (theirs.P, theirs.SIG))
                    setattr(parent, name, theirs)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the authors' warnings that their CUDA kernels are missing."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)


def use_torch_convolutions(model: nn.Module) -> None:
    """Replace our depthwise convolutions by `torch.nn.Conv2d`, with the same parameters."""
    module: Any
    for module in model.modules():
        if module.__class__ is DepthwiseConv2d:
            module.__class__ = nn.Conv2d


def make_input(batch: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Random spectrograms and labels: (B, 1, M, F), (B, C)."""
    generator = torch.Generator().manual_seed(batch)
    x = torch.randn(batch, *INPUT_SHAPE, generator=generator)
    labels = (torch.rand(batch, NUM_CLASSES, generator=generator) < 0.01).float()
    return x.to(device), labels.to(device)
