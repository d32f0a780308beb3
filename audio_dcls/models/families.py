"""The three families of backbones, and which of timm's names belong to them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

import timm

from audio_dcls.errors import ModelError


@dataclass(frozen=True)
class Family:
    """What sets a family of timm's models apart.

    Args:
        title: the family's name in print.
        prefix: what timm's names of its members start with.
        layer_scale_key: timm's argument for the start of the layer scale.
        argument_names: override -> timm's argument, for every override the family takes.
        stem_convolution: path of the stem's convolution in the adapted backbone.
        min_map_size: patches that the backbone needs along each axis: 2^3 where its three halvings do not pad.
    """

    title: str
    prefix: str
    layer_scale_key: str
    stem_convolution: str
    min_map_size: int
    argument_names: dict[str, str] = field(hash=False)


def _arguments(*same: str, **renamed: str) -> dict[str, str]:
    return renamed | {name: name for name in same}


FAMILIES = (
    Family(
        title="ConvNeXt",
        prefix="convnext_",
        layer_scale_key="ls_init_value",
        stem_convolution="stem.0",
        min_map_size=8,
        argument_names=_arguments("depths", "dims", "kernel_sizes", "conv_mlp", "head_hidden_size"),
    ),
    Family(
        title="ConvFormer",
        prefix="convformer_",
        layer_scale_key="layer_scale_init_values",
        stem_convolution="stem.conv",
        min_map_size=1,
        argument_names=_arguments("depths", "dims", "proj_drop_rate", "use_mlp_head"),
    ),
    Family(
        title="FastViT",
        prefix="fastvit_",
        layer_scale_key="layer_scale_init_value",
        stem_convolution="stem",
        min_map_size=1,
        argument_names=_arguments("mlp_ratios", "cls_ratio", "proj_drop_rate", depths="layers", dims="embed_dims"),
    ),
)

PAPER_NAMES = ("convnext_tiny", "convformer_s18", "fastvit_sa24")
"""The three backbones of the paper."""


def member_names(family: Family) -> list[str]:
    """timm's names of a family's members.

    >>> member_names(FAMILIES[1])
    ['convformer_b36', 'convformer_m36', 'convformer_s18', 'convformer_s36']
    """
    return sorted(timm.list_models(f"{family.prefix}*"))


def find_family(name: str) -> Family:
    """The family of a model.

    Args:
        name: timm's name, with or without the tag of its weights.

    Raises:
        ModelError: timm has no such model, or it is of another family.

    >>> find_family("fastvit_t8").title
    'FastViT'
    """
    architecture = name.partition(".")[0]
    for family in FAMILIES:
        if architecture.startswith(family.prefix) and timm.is_model(architecture):
            return family
    if timm.is_model(architecture):
        families = ", ".join(f"{family.title} ({family.prefix}*)" for family in FAMILIES)
        raise ModelError(f"`model.name` (={name!r}) must be a member of one of the families {families}")
    known = [member for family in FAMILIES for member in member_names(family)]
    near = difflib.get_close_matches(architecture, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`audio-dcls models list` prints those there are"
    raise ModelError(f"`model.name` (={name!r}) is not a model timm knows; {hint}")
