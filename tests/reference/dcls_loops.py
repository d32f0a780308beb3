"""DCLS written as its definition reads: one element, one tap at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def element_at_tap(distance: float, spread: float, interpolation: str) -> float:
    """Value of an element `distance` taps away along one axis, before normalisation."""
    if interpolation == "gauss":
        return math.exp(-(distance**2) / (2 * (abs(spread) + 0.27) ** 2))
    if interpolation == "triangle":
        return max(0.0, abs(spread) + 1.0 - abs(distance))
    return max(0.0, 1.0 - abs(distance))


def slow_kernel(
    weight: Tensor,
    positions: Tensor,
    spreads: Tensor | None,
    size: Sequence[int],
    interpolation: str,
    dense_axes: Sequence[int] = (),
) -> Tensor:
    """Dense kernel (O, I, S_0, ..) of weight (O, I, D.., K), positions and spreads (M, O, I, D.., K)."""
    learned = [axis for axis in range(len(size)) if axis not in dense_axes]
    kernel = torch.zeros(*weight.shape[:2], *size, dtype=torch.float64)
    for index in itertools.product(*map(range, weight.shape)):
        out_channel, in_channel, *dense, _ = index
        values = {}
        for taps in itertools.product(*(range(size[axis]) for axis in learned)):
            value = 1.0
            for row, (axis, tap) in enumerate(zip(learned, taps, strict=True)):
                spread = 0.0 if spreads is None else float(spreads[(row, *index)])
                distance = tap - size[axis] // 2 - float(positions[(row, *index)])
                value *= element_at_tap(distance, spread, interpolation)
            values[taps] = value
        scale = 1.0 if interpolation == "bilinear_floor" else 1 / (sum(values.values()) + 1e-7)
        for taps, value in values.items():
            place = dict(zip(dense_axes, dense, strict=True)) | dict(zip(learned, taps, strict=True))
            where = (out_channel, in_channel, *(place[axis] for axis in range(len(size))))
            kernel[where] += float(weight[index]) * value * scale
    return kernel
