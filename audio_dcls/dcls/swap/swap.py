"""Choose which convolutions of a model become DCLS layers, and which of them share positions and spreads."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd as _AnyConv

from audio_dcls.dcls.arguments import is_integer, per_axis
from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.interpolation import find_interpolation
from audio_dcls.dcls.swap.plan import SwapEntry, SwapPlan, format_size
from audio_dcls.dcls.swap.rule import PLAIN_CONVOLUTIONS, Predicate, SwapRule, find_rule, is_plain
from audio_dcls.errors import ArgumentError, ModelError

_SHARINGS = ("width", "stage", "none")


def plan_swap(
    model: nn.Module,
    rule: str | SwapRule | Predicate = "paper",
    *,
    dilated_kernel_size: int | Sequence[int] = 23,
    kernel_count: int = 26,
    interpolation: str = "gauss",
    share: str = "width",
) -> SwapPlan:
    """Choose the convolutions to swap and the layers that share positions, without changing the model.

    Padding grows with the kernel, so every output keeps its size: the old and the new kernel must differ by an even
    number of taps.

    Args:
        model: any model.
        rule: "paper" (depthwise 7x7, stride 1), "depthwise", "every", a `SwapRule`, or a predicate of the module's
            path and the module.
        dilated_kernel_size: taps of the new kernels, one number for all axes or one per axis.
        kernel_count: elements per kernel, at least 1.
        interpolation: "gauss", "triangle", "bilinear" or "bilinear_floor".
        share: "width" (layers with the same numbers of channels share, as the authors do), "stage" (they must also be
            in the same numbered part of the model, such as `stages.2` or `layer3`), or "none".

    Raises:
        ModelError: no layer matches, or a matching layer cannot be swapped.
        ArgumentError: a number or a name breaks its rule.

    >>> model = nn.Sequential(*(nn.Conv2d(8, 8, 7, padding=3, groups=8) for _ in range(2)))
    >>> print(plan_swap(model, dilated_kernel_size=11, kernel_count=5).apply(model))
    0  8  7x7 -> 11x11  group A  400 -> 208
    1  8  7x7 -> 11x11  group A  400 -> 48
    parameters  800 -> 256
    """
    if share not in _SHARINGS:
        raise ArgumentError(f"`share` (={share!r}) must be one of {', '.join(_SHARINGS)}")
    if not is_integer(kernel_count) or kernel_count < 1:
        raise ArgumentError(f"`kernel_count` (={kernel_count!r}) must be an integer of at least 1")
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"`model` (={model!r}) must be a torch.nn.Module")
    form, chosen = find_interpolation(interpolation), find_rule(rule)
    entries: list[SwapEntry] = []
    keys: list[Hashable] = []
    num_coordinates: list[int] = []
    for name, conv in _matching(model, chosen):
        new_size = _size_per_axis(dilated_kernel_size, len(conv.kernel_size), name)
        entry, extra = _plan_layer(name, conv, chosen.reason, new_size, kernel_count)
        entries.append(entry)
        num_coordinates.append(extra * (2 if form.has_spreads else 1))
        keys.append(_sharing_key(share, name, conv, new_size))
    if not entries:
        raise ModelError(
            f"`rule` (={chosen.name!r}) matches no layer of the model: {_describe_convolutions(model, chosen)}"
        )
    entries = _assign_groups(entries, keys, num_coordinates)
    return SwapPlan(chosen.name, kernel_count, form.name, share, tuple(entries))


def _matching(model: nn.Module, rule: SwapRule) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if not rule.matches(name, module):
            continue
        if not is_plain(module):
            allowed = ", ".join(kind.__name__ for kind in PLAIN_CONVOLUTIONS)
            where = f"layer '{name}'" if name else "the model itself"
            raise ModelError(f"{where} is a {type(module).__name__}, which cannot be swapped; match only {allowed}")
        if not name:
            raise ModelError("the model is itself the convolution to swap; build a DclsConv instead")
        yield name, module


def _plan_layer(
    name: str, conv: Any, reason: str, new_size: tuple[int, ...], kernel_count: int
) -> tuple[SwapEntry, int]:
    """The entry of one layer without its group, and its number of position coordinates."""
    num_elements = conv.out_channels * (conv.in_channels // conv.groups) * kernel_count
    num_biases = 0 if conv.bias is None else conv.out_channels
    entry = SwapEntry(
        name=name,
        reason=reason,
        width=conv.out_channels,
        old_kernel_size=tuple(conv.kernel_size),
        new_kernel_size=new_size,
        padding=_new_padding(conv, new_size, name),
        group=None,
        num_parameters_before=conv.weight.numel() + num_biases,
        num_parameters_after=num_elements + num_biases,
    )
    return entry, num_elements * len(new_size)


def _describe_convolutions(model: nn.Module, rule: SwapRule) -> str:
    """The convolutions of a model, for the error message of a rule that matches no layer."""
    modules = list(model.modules())
    num_swapped = sum(isinstance(module, DclsConv) for module in modules)
    num_plain = sum(is_plain(module) for module in modules)
    num_other = sum(isinstance(m, _AnyConv) and not is_plain(m) for m in modules)
    found = [f"{num_plain} plain convolutions" if num_plain else "no plain convolution"]
    if num_swapped:
        found.append(f"{num_swapped} that are DCLS already")
    if num_other:
        found.append(f"{num_other} of a class that cannot be swapped (transposed, lazy, parametrised or its own)")
    others = [repr(name) for name in ("depthwise", "every") if name != rule.name]
    remedy = f"; try {', '.join(others)} or a predicate" if num_plain else ""
    return f"it has {', '.join(found)}{remedy}"


def _size_per_axis(size: int | Sequence[int], num_axes: int, name: str) -> tuple[int, ...]:
    try:
        return per_axis("dilated_kernel_size", size, num_axes, 1)
    except ArgumentError as error:
        raise ArgumentError(f"{error} (layer '{name}' has {num_axes} axes)") from error


def _new_padding(conv: Any, new_size: tuple[int, ...], name: str) -> tuple[int, ...] | str:
    """The padding that keeps the output's size: it grows by half of the growth of the kernel."""
    if conv.padding == "same":
        return "same"
    old_padding = (0,) * len(new_size) if conv.padding == "valid" else conv.padding
    lengths = [dilation * (taps - 1) + 1 for dilation, taps in zip(conv.dilation, conv.kernel_size, strict=True)]
    growth = [new - old for new, old in zip(new_size, lengths, strict=True)]
    padding = [pad + taps // 2 for pad, taps in zip(old_padding, growth, strict=True)]
    if any(taps % 2 for taps in growth) or min(padding) < 0:
        raise ArgumentError(
            f"`dilated_kernel_size` (={format_size(new_size)}) must differ from the {format_size(lengths)} taps of "
            f"layer '{name}' by an even number, and not be smaller by more than its padding; otherwise the size of its "
            "output changes"
        )
    return tuple(padding)


def _assign_groups(
    entries: list[SwapEntry], keys: Sequence[Hashable], num_coordinates: Sequence[int]
) -> list[SwapEntry]:
    """Label the groups, and count positions and spreads at the first layer of each group."""
    labelled = []
    for index, (entry, group) in enumerate(zip(entries, _label_groups(keys), strict=True)):
        extra = num_coordinates[index] if keys.index(keys[index]) == index else 0
        labelled.append(replace(entry, group=group, num_parameters_after=entry.num_parameters_after + extra))
    return labelled


def _sharing_key(share: str, name: str, conv: Any, new_size: Sequence[int]) -> Hashable:
    """A key that is equal for layers that share; `new_size` are the taps of the dense kernel after the swap."""
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


def _label_groups(keys: Sequence[Hashable]) -> list[str | None]:
    """Labels of the layers' groups in order of appearance, A, B, ..., Z, AA, ..; None for a layer without a group.

    >>> _label_groups(["wide", "narrow", "wide", "alone", "narrow"])
    ['A', 'B', 'A', None, 'B']
    """
    shared = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    labels = {key: _label(index) for index, key in enumerate(shared)}
    return [labels.get(key) for key in keys]


def _label(index: int) -> str:
    higher, letter = divmod(index, 26)
    return (_label(higher - 1) if higher else "") + chr(ord("A") + letter)
