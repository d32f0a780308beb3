"""The dense kernel of weights, positions and spreads, in any number of dimensions.

Axis legend: O output channels, I input channels of a group, K elements, M learned axes, S_a taps of axis a,
D.. dense axes (the N-M forms, learned along M of N axes).

For an element k with weight w_k and one-dimensional factors f_a (`interpolation.py`) the kernel is

    kernel[i_0, .., i_{M-1}] = sum_k w_k f_0,k(i_0) .. f_{M-1},k(i_{M-1}) / (S_k + 1e-7)

where S_k, the sum of the product over the grid, is the product of the sums along each axis (thesis, eq. 3.2 to 3.5).
A sum of K rank-1 terms is one batched matrix product, so no element is ever evaluated at every grid point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available

from audio_dcls.dcls.arguments import is_integer
from audio_dcls.dcls.interpolation import Interpolation, find_interpolation, tap_grid
from audio_dcls.errors import ArgumentError

_NORMALISER_FLOOR = 1e-7
"""Added to an element's mass before dividing by it, so that elements far outside the kernel fade out."""


def construct_kernel(
    weight: Tensor,
    positions: Tensor,
    spreads: Tensor | None,
    dilated_kernel_size: Sequence[int],
    interpolation: str = "gauss",
    dense_axes: Sequence[int] = (),
) -> Tensor:
    """Build the dense kernel of a convolution from its elements.

    Args:
        weight: element weights.
        positions: `positions[m]` is the coordinate along the m-th learned axis, in taps from the kernel's centre
            `size // 2`; with no dense axes that is axis m itself.
        spreads: spreads along the same axes, in taps; None for the bilinear forms.
        dilated_kernel_size: taps along every axis of the kernel, including dense axes.
        interpolation: "gauss", "triangle", "bilinear" or "bilinear_floor".
        dense_axes: the axes along which every tap has its own elements.

    Shape:
        weight (O, I, D.., K), positions and spreads (M, O, I, D.., K) -> (O, I, S_0, .., S_{N-1}).
        Float64 stays float64; a type narrower than float32 is built in float32 and converted at the end.

    Raises:
        ArgumentError: a shape, axis or name breaks its rule.

    >>> kernel = construct_kernel(torch.ones(1, 1, 1), torch.zeros(1, 1, 1, 1), None, (3,), "bilinear")
    >>> [round(tap, 5) for tap in kernel.flatten().tolist()]
    [0.0, 1.0, 0.0]
    """
    form = find_interpolation(interpolation)
    size = tuple(dilated_kernel_size)
    dense = check_dense_axes(dense_axes, len(size))
    _check_shapes(weight, positions, spreads, size, dense, form)
    learned_size = [taps for axis, taps in enumerate(size) if axis not in dense]
    factors = axis_factors(positions, spreads, learned_size, form)
    return order_axes(combine_factors(weight, factors), len(size), dense)


def axis_factors(
    positions: Tensor, spreads: Tensor | None, sizes: Sequence[int], interpolation: Interpolation
) -> tuple[Tensor, ...]:
    """The 1-D factors of every element along every learned axis; the normaliser is folded into the first.

    Positions from the centre and spreads, both (M, ..., K) in taps, give M tensors (..., K, S_m), float32 or float64.
    """
    with full_precision(positions.device):
        return normalise(raw_factors(positions, spreads, sizes, interpolation), interpolation)[0]


def raw_factors(
    positions: Tensor, spreads: Tensor | None, sizes: Sequence[int], interpolation: Interpolation
) -> tuple[Tensor, ...]:
    """`axis_factors` before normalisation."""
    positions = at_least_float32(positions)
    widths = None if spreads is None else interpolation.effective_spreads(at_least_float32(spreads))
    return tuple(
        interpolation.factor(
            tap_grid(taps, dtype=positions.dtype, device=positions.device),
            positions[axis].unsqueeze(-1),
            None if widths is None else widths[axis].unsqueeze(-1),
        )
        for axis, taps in enumerate(sizes)
    )


def normalise(
    factors: tuple[Tensor, ...], interpolation: Interpolation
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor | None]:
    """Divide the first factor by the mass of the elements; return the factors, the sum of each before and the mass,
    (..., K, 1). Without normalisation these are the unchanged factors, an empty tuple and None.
    """
    if not interpolation.normalised:
        return factors, (), None
    sums = tuple(factor.sum(-1, keepdim=True) for factor in factors)
    mass = sums[0]
    for other in sums[1:]:
        mass = mass * other
    mass = mass + _NORMALISER_FLOOR
    return (factors[0] / mass, *factors[1:]), sums, mass


def combine_factors(weight: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """Sum the elements by one batched matrix product over K: weights (..., K) and M factors (..., K, S_m) give a kernel
    (..., S_0, .., S_{M-1}) in the dtype of `weight`.
    """
    num_elements = weight.shape[-1]
    with full_precision(weight.device):
        element_weights = weight.to(factors[0].dtype).reshape(-1, 1, num_elements)
        first, *others = (factor.reshape(-1, num_elements, factor.shape[-1]) for factor in factors)
        if others:
            left = first.transpose(1, 2) * element_weights
            right = others[0]
            for other in others[1:]:
                right = (right.unsqueeze(-1) * other.unsqueeze(-2)).flatten(-2)
        else:
            left, right = element_weights, first
        taps = [factor.shape[-1] for factor in factors]
        kernel = torch.bmm(left, right).reshape(*weight.shape[:-1], *taps)
    return kernel.to(weight.dtype)


def discrete_kernel(
    weight: Tensor, positions: Tensor, dilated_kernel_size: Sequence[int], dense_axes: Sequence[int] = ()
) -> Tensor:
    """Put every element on its nearest tap: at most K taps of the kernel are not zero.

    If spreads shrink to zero during training, as for learned delays (thesis, chapter 4), the trained kernel converges
    to this one. An element outside the kernel is dropped.

    Args:
        weight, positions, dilated_kernel_size, dense_axes: as in `construct_kernel`.

    Shape:
        weight (O, I, D.., K), positions (M, O, I, D.., K) -> (O, I, S_0, .., S_{N-1})

    >>> weight, positions = torch.tensor([[[3.0, 4.0, 5.0]]]), torch.tensor([[[[-1.2, 0.9, 7.0]]]])
    >>> discrete_kernel(weight, positions, (5,)).tolist()
    [[[0.0, 3.0, 0.0, 4.0, 0.0]]]
    """
    dense = check_dense_axes(dense_axes, len(dilated_kernel_size))
    sizes = [taps for axis, taps in enumerate(dilated_kernel_size) if axis not in dense]
    index = torch.zeros_like(weight, dtype=torch.long)
    is_inside = torch.ones_like(weight, dtype=torch.bool)
    for coordinates, taps in zip(positions, sizes, strict=True):
        tap = coordinates.round().long() + taps // 2
        is_inside &= (tap >= 0) & (tap < taps)
        index = index * taps + tap.clamp(0, taps - 1)
    kernel = weight.new_zeros(*weight.shape[:-1], prod(sizes)).scatter_add(-1, index, weight * is_inside)
    return order_axes(kernel.reshape(*weight.shape[:-1], *sizes), len(dilated_kernel_size), dense)


def order_axes(kernel: Tensor, num_axes: int, dense_axes: Sequence[int]) -> Tensor:
    """Reorder the axes of a kernel from (O, I, dense.., learned..) to (O, I, 0, 1, ..)."""
    if not dense_axes:
        return kernel
    built = [*dense_axes, *(axis for axis in range(num_axes) if axis not in dense_axes)]
    return kernel.permute(0, 1, *(2 + built.index(axis) for axis in range(num_axes))).contiguous()


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Switch autocast off for `device`: a position rounded to bfloat16 is wrong by up to 1/16 of a tap at 11 taps."""
    if is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor unchanged if it is float32 or float64, otherwise as float32."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def check_dense_axes(dense_axes: Sequence[int], num_axes: int) -> tuple[int, ...]:
    """The dense axes, sorted; an axis out of range or repeated, or no axis left to learn, is an `ArgumentError`."""
    if isinstance(dense_axes, str) or not isinstance(dense_axes, Iterable) or not all(map(is_integer, dense_axes)):
        raise ArgumentError(f"`dense_axes` (={dense_axes!r}) must be a sequence of axes, such as (0,)")
    dense = tuple(sorted(dense_axes))
    if len(set(dense)) != len(dense) or any(not 0 <= axis < num_axes for axis in dense):
        raise ArgumentError(f"`dense_axes` (={tuple(dense_axes)}) must be distinct axes from 0 to {num_axes - 1}")
    if len(dense) == num_axes:
        raise ArgumentError(f"`dense_axes` (={dense}) must leave an axis to learn; use a plain convolution instead")
    return dense


def _check_shapes(
    weight: Tensor,
    positions: Tensor,
    spreads: Tensor | None,
    size: Sequence[int],
    dense_axes: Sequence[int],
    interpolation: Interpolation,
) -> None:
    """Check the shapes of the three tensors of a kernel against its size."""
    if not size or min(size) < 1:
        raise ArgumentError(f"`dilated_kernel_size` (={tuple(size)}) must hold at least 1 tap along every axis")
    dense_size = tuple(size[axis] for axis in dense_axes)
    if weight.ndim != 3 + len(dense_size) or tuple(weight.shape[2:-1]) != dense_size:
        raise ArgumentError(
            f"`weight` (shape {tuple(weight.shape)}) must have shape (out_channels, in_channels / groups,"
            f" {''.join(f'{taps}, ' for taps in dense_size)}kernel_count)"
        )
    expected = (len(size) - len(dense_axes), *weight.shape)
    if tuple(positions.shape) != expected:
        raise ArgumentError(f"`positions` (shape {tuple(positions.shape)}) must have shape {expected} to fit `weight`")
    if interpolation.has_spreads and (spreads is None or tuple(spreads.shape) != expected):
        found = "None" if spreads is None else f"shape {tuple(spreads.shape)}"
        raise ArgumentError(f"`spreads` ({found}) must have shape {expected} to fit `weight`")
    if prod(expected) == 0:
        raise ArgumentError(f"`weight` (shape {tuple(weight.shape)}) must hold at least one element")
