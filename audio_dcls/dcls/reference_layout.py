"""Conversion between the authors' parameter layout and ours.

Axis legend: O output channels, I input channels of a group, K elements, M learned axes.

The authors' library calls positions `P` and spreads `SIG`, both (M, O, I, K). The order of their first axis depends on
interpolation and dimension; ours is always `positions[d]` along axis d. Their library also measures `P[j]` from the
middle of the j-th axis of the kernel, whichever axis `P[j]` moves along, so a non-square kernel is off centre. A layer
converted here keeps its kernel; therefore its positions shift by the difference of the two middles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from audio_dcls.dcls.conv import DclsConv, DclsConv1d, DclsConv2d, DclsConv3d
from audio_dcls.dcls.interpolation import AUTHORS_VERSIONS
from audio_dcls.errors import ArgumentError

_PARAMETER_NAMES = {"P": "positions", "SIG": "spreads"}
_CLASSES: dict[str, type[DclsConv]] = {
    "Dcls1d": DclsConv1d,
    "Dcls2d": DclsConv2d,
    "Dcls3d": DclsConv3d,
    "Dcls3_1d": DclsConv3d,
    "Dcls2dK1d": DclsConv2d,
}


def _reference_axes(num_axes: int, interpolation: str) -> tuple[int, ...]:
    """The axis of the kernel that each row of the authors' `P` moves along, for 1 to 3 learned axes.

    >>> _reference_axes(2, "gauss"), _reference_axes(2, "bilinear_floor"), _reference_axes(3, "bilinear_floor")
    ((1, 0), (0, 1), (0, 2, 1))
    """
    if interpolation == "bilinear_floor":
        return ((0,), (0, 1), (0, 2, 1))[num_axes - 1]
    return tuple(reversed(range(num_axes)))


def positions_from_reference(reference: Tensor, size: Sequence[int], interpolation: str) -> Tensor:
    """Convert the authors' `P` to our positions.

    Args:
        reference: `P`, in taps.
        size: taps along each learned axis, in the order of the kernel's axes.
        interpolation: our name of the interpolation.

    Shape:
        (M, ...) -> (M, ...)

    >>> positions_from_reference(torch.tensor([[1.0], [2.0]]), (7, 7), "gauss").tolist()
    [[2.0], [1.0]]
    """
    rows = [torch.empty(0)] * len(size)
    for row, axis in enumerate(_reference_axes(len(size), interpolation)):
        rows[axis] = reference[row] + (size[row] // 2 - size[axis] // 2)
    return torch.stack(rows)


def positions_to_reference(positions: Tensor, size: Sequence[int], interpolation: str) -> Tensor:
    """Convert our positions to the authors' `P`; the inverse of `positions_from_reference`."""
    axes = _reference_axes(len(size), interpolation)
    return torch.stack([positions[axis] - (size[row] // 2 - size[axis] // 2) for row, axis in enumerate(axes)])


def spreads_from_reference(reference: Tensor, interpolation: str) -> Tensor:
    """Convert the authors' `SIG` to our spreads, (M, ...) -> (M, ...)."""
    axes = _reference_axes(len(reference), interpolation)
    return torch.stack([reference[axes.index(axis)] for axis in range(len(axes))])


def spreads_to_reference(spreads: Tensor, interpolation: str) -> Tensor:
    """Convert our spreads to the authors' `SIG`; the inverse of `spreads_from_reference`."""
    return torch.stack([spreads[axis] for axis in _reference_axes(len(spreads), interpolation)])


def state_from_reference(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Convert a state dict with the authors' DCLS layers into one that `model` loads.

    Args:
        state: names and tensors; entries outside the DCLS layers of `model` stay unchanged.
        model: a model with our layers under the names of the authors' layers in `state`.

    Raises:
        ArgumentError: for a DCLS layer of `model`, `state` has no `P`, or one of another shape.
    """
    converted = dict(state)
    for prefix, layer in _layers(model):
        for theirs, ours in _PARAMETER_NAMES.items():
            if getattr(layer, ours) is not None:
                value = converted.pop(prefix + theirs, None)
                converted[prefix + ours] = _import(layer, prefix + theirs, theirs, value)
        if layer.dense_axes and prefix + "weight" in converted:
            converted[prefix + "weight"] = converted[prefix + "weight"].reshape(layer.weight.shape)
    return converted


def state_to_reference(model: nn.Module, *, flat: bool = False) -> dict[str, Tensor]:
    """The state dict of `model` with its DCLS layers in the authors' layout.

    Args:
        model: a model with our layers.
        flat: True for the authors' `Dcls2dK1d`, whose kernels lack the dense axis of one tap.
    """
    state = dict(model.state_dict())
    for prefix, layer in _layers(model):
        for theirs, ours in _PARAMETER_NAMES.items():
            if getattr(layer, ours) is not None:
                value = state.pop(prefix + ours)
                if ours == "positions":
                    value = positions_to_reference(value, layer.learned_size, layer.interpolation)
                else:
                    value = spreads_to_reference(value, layer.interpolation)
                state[prefix + theirs] = value.squeeze(3) if flat and layer.dense_axes else value
        if flat and layer.dense_axes:
            state[prefix + "weight"] = state[prefix + "weight"].squeeze(2)
    return state


def from_reference_module(module: nn.Module) -> DclsConv:
    """Our layer with the kernel, and therefore the output, of one of the authors' modules.

    Args:
        module: a Dcls1d, Dcls2d, Dcls3d, Dcls3_1d or Dcls2dK1d.

    Raises:
        ArgumentError: the class or version of the module is unknown.
    """
    theirs: Any = module
    name = type(module).__name__
    names = {version: ours for ours, version in AUTHORS_VERSIONS.items()}
    if name not in _CLASSES or theirs.version not in names:
        raise ArgumentError(f"`module` (={name}) must be one of the authors' {', '.join(_CLASSES)}, of a known version")
    size, dense_axes = tuple(theirs.dilated_kernel_size), ()
    if name == "Dcls3_1d":
        size, dense_axes = (*theirs.dense_kernel_size, *size), (0, 1)
    elif name == "Dcls2dK1d":
        size, dense_axes = ((*size, 1), (1,)) if theirs.flat_dim == 0 else ((1, *size), (0,))
    layer = _CLASSES[name](
        theirs.in_channels,
        theirs.out_channels,
        theirs.kernel_count,
        size,
        theirs.stride,
        theirs.padding,
        theirs.groups,
        theirs.bias is not None,
        names[theirs.version],
        padding_mode=theirs.padding_mode,
        dense_axes=dense_axes,
        device=theirs.weight.device,
        dtype=theirs.weight.dtype,
    )
    layer.load_state_dict(state_from_reference(module.state_dict(), layer))
    return layer.train(module.training)


def to_reference_module(layer: DclsConv, library: ModuleType) -> nn.Module:
    """One of the authors' modules with the kernel of our layer.

    Args:
        layer: a layer that their library can represent: without dense axes, with only the last of three axes learned,
            or with one dense axis of one tap in 2-D.
        library: their module `DCLS.construct.modules`, from the package `dcls`.

    Raises:
        ArgumentError: their library has no such layer.
    """
    name, extra = f"Dcls{layer.num_axes}d", {}
    is_flat = layer.num_axes == 2 and len(layer.dense_axes) == 1 and layer.dilated_kernel_size[layer.dense_axes[0]] == 1
    if layer.num_axes == 3 and layer.dense_axes == (0, 1):
        name, extra = "Dcls3_1d", {"dense_kernel_size": layer.dilated_kernel_size[:2]}
    elif is_flat:
        name, extra = "Dcls2dK1d", {"flat_dim": 1 - layer.dense_axes[0]}
    elif layer.dense_axes or isinstance(layer.padding, str):
        raise ArgumentError(
            f"`layer` ({layer}) has no counterpart in the authors' library: it must have its padding in taps and"
            " either no dense axes, the dense axes (0, 1) in 3-D, or one dense axis of one tap in 2-D"
        )
    module = getattr(library, name)(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_count,
        stride=layer.stride,
        padding=layer.padding,
        dilated_kernel_size=layer.learned_size,
        groups=layer.groups,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
        version=AUTHORS_VERSIONS[layer.interpolation],
        **extra,
    )
    module = module.to(layer.weight.device, layer.weight.dtype)
    module.load_state_dict(state_to_reference(layer, flat=is_flat))
    return module.train(layer.training)


def _layers(model: nn.Module) -> list[tuple[str, DclsConv]]:
    found = ((name, module) for name, module in model.named_modules(remove_duplicate=False))
    return [(f"{name}." if name else "", module) for name, module in found if isinstance(module, DclsConv)]


def _import(layer: DclsConv, key: str, theirs: str, value: Tensor | None) -> Tensor:
    if value is None or value.numel() != layer.positions.numel() or len(value) != len(layer.positions):
        found = "missing" if value is None else f"of shape {tuple(value.shape)}"
        raise ArgumentError(f"`state` entry '{key}' is {found}; it must have shape {tuple(layer.positions.shape)}")
    value = value.reshape(layer.positions.shape)
    if theirs == "P":
        return positions_from_reference(value, layer.learned_size, layer.interpolation)
    return spreads_from_reference(value, layer.interpolation)
