"""The list of families. A new family is one file and one line here."""

from __future__ import annotations

import timm

from audio_dcls.errors import ModelError
from audio_dcls.models.families.convformer import CONVFORMER
from audio_dcls.models.families.convnext import CONVNEXT
from audio_dcls.models.families.family import Family
from audio_dcls.models.families.fastvit import FASTVIT
from audio_dcls.near_names import near_names

FAMILIES: tuple[Family, ...] = (CONVNEXT, CONVFORMER, FASTVIT)

PAPER_NAMES = tuple(family.authors_layout.member for family in FAMILIES if family.authors_layout is not None)
"""The three backbones of the paper."""


def member_names(family: Family) -> list[str]:
    """timm's names of the members of a family.

    >>> member_names(FAMILIES[1])
    ['convformer_b36', 'convformer_m36', 'convformer_s18', 'convformer_s36']
    """
    return sorted(timm.list_models(f"{family.prefix}*"))


def find_family(name: str) -> Family:
    """The family of a model of timm, with or without the tag of its weights; `ModelError` if there is no such model.

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
    near = near_names(architecture, known, limit=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`audio-dcls models list` prints the names"
    raise ModelError(f"`model.name` (={name!r}) is not a model timm knows; {hint}")
