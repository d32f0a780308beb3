"""A family of backbones: everything in which its models differ from those of other families."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import Tensor, nn

from audio_dcls.dcls.freezing import holds_frozen, mark_fused

CLASSIFIER = "head.fc"
"""Path of the classifier in every backbone."""


def create_timm_model(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """timm's model of that name, with random weights."""
    return timm.create_model(architecture, **arguments)


def _leave_as_is(_module: nn.Module) -> None:
    """Change nothing: the family has no blocks to fuse."""


@dataclass(frozen=True)
class AuthorsLayout:
    """The original names of a backbone in the files of the DCLS authors.

    `member` is timm's name of the member of the family that they published. `block` matches an entry that every block
    has, whose first axis is the width; its groups are stage and block. `stem` is the kernel of the stem, and `head` the
    weight of the last linear layer. `rename` is timm's function that maps original names and values to those of timm.
    """

    member: str
    block: re.Pattern[str]
    stem: str
    head: str
    rename: Callable[[dict[str, Tensor], Any], dict[str, Any]]


@dataclass(frozen=True)
class Family:
    """A family of timm's models, adapted to spectrograms.

    A new family is one file, and one line in `registry.py`. Its members are registered with timm. A backbone has, as
    timm's models have:

    - the submodules `stem`, `stages` (one child per stage, with `blocks`) and `head`, whose `fc` is the classifier;
    - `forward_features(x)`, `forward_head(x, pre_logits=False)` and `get_classifier()`;
    - `feature_info`: one mapping per stage, which names the stage's width as `num_chs`.

    Attributes:
        title: the family's name in print.
        prefix: what timm's names of its members start with.
        stem_convolution: path of the stem's convolution in the adapted backbone.
        replace_stem: puts the shared patch stem, with a given number of channels, in place of the backbone's own stem.
        argument_names: override -> timm's argument, for every override that the family takes.
        min_map_size: patches that the backbone needs along each axis: 8 if its three halvings do not pad, 1 if they do.
        layer_scale_key: timm's argument for the initial value of the layer scale; None without a layer scale.
        create: builds timm's model of a name, with timm's arguments.
        fusable_classes: class of timm's blocks -> the subclass whose `reparameterize` also fuses swapped kernels.
        fuse: turns a module into its inference form, if it has one; called for every module of a model.
        layer_scales: class of a block -> its layer scales: the name of each, and the layer whose output it multiplies.
        authors_layout: names in the authors' files; None if they published no model of the family.
    """

    title: str
    prefix: str
    stem_convolution: str
    replace_stem: Callable[[nn.Module, int], None]
    argument_names: Mapping[str, str] = field(default_factory=lambda: {"depths": "depths", "dims": "dims"}, hash=False)
    min_map_size: int = 8
    layer_scale_key: str | None = None
    create: Callable[[str, Mapping[str, Any]], nn.Module] = create_timm_model
    fusable_classes: Mapping[type[nn.Module], type[nn.Module]] = field(default_factory=dict, hash=False)
    fuse: Callable[[nn.Module], None] = _leave_as_is
    layer_scales: Mapping[type[nn.Module], tuple[tuple[str, str], ...]] = field(default_factory=dict, hash=False)
    authors_layout: AuthorsLayout | None = None


def override_arguments(*same: str, **renamed: str) -> dict[str, str]:
    """The argument names of a family: overrides with timm's own name, and those that timm calls otherwise.

    >>> override_arguments("depths", dims="embed_dims")
    {'dims': 'embed_dims', 'depths': 'depths'}
    """
    return renamed | {name: name for name in same}


def set_weights(layer: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Put other weights into a convolution or linear layer, in place, and mark it as fused."""
    requires_grad, was_frozen = layer.weight.requires_grad, holds_frozen(layer)
    with torch.no_grad():
        layer.weight = nn.Parameter(weight.detach(), requires_grad=requires_grad)
        layer.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=requires_grad)
    mark_fused(layer, was_frozen)
    return layer
