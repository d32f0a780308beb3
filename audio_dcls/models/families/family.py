"""What a family of backbones is: everything that sets its models apart from those of other families."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
from torch import Tensor, nn


def create_timm_model(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """timm's model of that name, with random weights."""
    return timm.create_model(architecture, pretrained=False, **arguments)


def _leave_as_is(_module: nn.Module) -> None:
    """Change nothing: the family has no blocks to fuse."""


@dataclass(frozen=True)
class AuthorsLayout:
    """The original names of a backbone in the files of the DCLS authors.

    Attributes:
        member: the member of the family that they published, under timm's name.
        block: an entry that every block has; its first axis is the width, its groups are stage and block.
        stem: the kernel of the stem.
        head: the weight of the last linear layer.
        rename: timm's function that maps original names and values to those of its model.
    """

    member: str
    block: re.Pattern[str]
    stem: str
    head: str
    rename: Callable[[dict[str, Tensor], Any], dict[str, Any]]


@dataclass(frozen=True)
class Family:
    """A family of timm's models, adapted to spectrograms.

    The adapted backbone has the submodules `stem`, `stages` (one child per stage) and `head`, as timm's have.

    Attributes:
        title: the family's name in print.
        prefix: what timm's names of its members start with.
        argument_names: override -> timm's argument, for every override that the family takes.
        layer_scale_key: timm's argument for the initial value of the layer scale.
        stem_convolution: path of the stem's convolution in the adapted backbone.
        min_map_size: patches that the backbone needs along each axis: 2^3 if its three halvings do not pad.
        replace_stem: puts the shared patch stem with that many channels in place of the backbone's own stem.
        create: timm's model of a name, with timm's arguments.
        fusable_classes: class of timm's blocks -> the subclass whose `reparameterize` also fuses swapped kernels.
        fuse: turns a module into its inference form, if it has one; called for every module of a model.
        layer_scales: class of a block -> its layer scales: the name of each, and the layer whose output it multiplies.
        authors_layout: names in the authors' files; None if they published no model of the family.
    """

    title: str
    prefix: str
    argument_names: Mapping[str, str] = field(hash=False)
    layer_scale_key: str
    stem_convolution: str
    min_map_size: int
    replace_stem: Callable[[nn.Module, int], None]
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
