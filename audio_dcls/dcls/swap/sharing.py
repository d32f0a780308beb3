"""Groups of swapped layers that share positions and spreads."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

SHARINGS = ("width", "stage", "none")


def sharing_key(share: str, name: str, conv: Any, new_size: Sequence[int]) -> Hashable:
    """A key that is equal for layers that share.

    Args:
        share: one of `SHARINGS`.
        name: path of the layer in the model.
        conv: the convolution there.
        new_size: taps of its dense kernel after the swap.
    """
    if share == "none":
        return name
    shape = (conv.out_channels, conv.in_channels // conv.groups, tuple(new_size), conv.weight.dtype, conv.weight.device)
    return (_stage_of(name), shape) if share == "stage" else shape


def _stage_of(name: str) -> str:
    """The beginning of a path up to its first part with a digit; empty if no part has one.

    >>> _stage_of("stages.2.blocks.0.conv"), _stage_of("head.conv")
    ('stages.2', '')
    """
    parts = name.split(".")
    for end, part in enumerate(parts, start=1):
        if any(character.isdigit() for character in part):
            return ".".join(parts[:end])
    return ""


def label_groups(keys: Sequence[Hashable]) -> list[str | None]:
    """Labels of the layers' groups in order of appearance, A, B, ..., Z, AA, ..; None for a layer without a group.

    >>> label_groups(["wide", "narrow", "wide", "alone", "narrow"])
    ['A', 'B', 'A', None, 'B']
    """
    shared = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    labels = {key: _label(index) for index, key in enumerate(shared)}
    return [labels.get(key) for key in keys]


def _label(index: int) -> str:
    higher, letter = divmod(index, 26)
    return (_label(higher - 1) if higher else "") + chr(ord("A") + letter)
