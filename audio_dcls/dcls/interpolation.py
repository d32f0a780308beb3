"""The forms by which an element spreads over the taps of one axis.

Axis legend: K elements, S taps of one axis; `...` are leading axes (output channels, input channels of a group).

An element has a real position p, in taps from the kernel's centre; the grid holds integers d = i - S // 2. Every form
below is a product over axes, so only single axes are ever evaluated (Khalfaoui-Hassani, "Dilated Convolution
with Learnable Spacings", 2024, chapters 2 and 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from audio_dcls.errors import ArgumentError

_AxisFactor = Callable[[Tensor, Tensor, Tensor | None], Tensor]
_AxisSlopes = Callable[[Tensor, Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Interpolation:
    """One way to spread an element over the grid.

    Args:
        name: the name used in configs and signatures.
        factor: maps grid (S,), positions (..., K, 1) and effective spreads (..., K, 1) to (..., K, S).
        slopes: maps these and the factor to the factor's derivatives with respect to position and spread, each
            (..., K, S); the second is None if the form has no spread.
        normalised: True if an element's taps are scaled to sum to 1 over the grid.
        spread_floor: added to |spread|, in taps; None if the form has no spread.
        initial_spread: initial value of learned spreads, before the floor is added, in taps.
    """

    name: str
    factor: _AxisFactor
    slopes: _AxisSlopes
    normalised: bool = True
    spread_floor: float | None = None
    initial_spread: float = 0.0

    @property
    def has_spreads(self) -> bool:
        """True if the form has a learnable spread."""
        return self.spread_floor is not None

    def effective_spreads(self, spreads: Tensor | None) -> Tensor | None:
        """The width that the form uses, |spread| + floor, in taps; None if the form has no spread."""
        if self.spread_floor is None or spreads is None:
            return None
        return spreads.abs() + self.spread_floor


def tap_grid(num_taps: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Integer tap coordinates (S,) of one axis, in taps from its centre `num_taps // 2`.

    >>> tap_grid(4, dtype=torch.float32, device=torch.device("cpu"))
    tensor([-2., -1.,  0.,  1.])
    """
    return torch.arange(num_taps, dtype=dtype, device=device) - num_taps // 2


def _gauss(grid: Tensor, positions: Tensor, widths: Tensor | None) -> Tensor:
    """exp(-(d - p)^2 / (2 w^2))."""
    assert widths is not None
    distances = (grid - positions) / widths
    if torch.is_grad_enabled():
        return distances.square().mul(-0.5).exp()
    return distances.square_().mul_(-0.5).exp_()  # a new tensor per operation would take twice as long


def _gauss_slopes(grid: Tensor, positions: Tensor, widths: Tensor | None, factor: Tensor) -> tuple[Tensor, Tensor]:
    """f z / w and f z^2 / w, z = (d - p) / w."""
    assert widths is not None
    distances = (grid - positions).div_(widths)
    by_position = (factor * distances).div_(widths)
    return by_position, distances.mul_(by_position)


def _triangle(grid: Tensor, positions: Tensor, widths: Tensor | None) -> Tensor:
    """max(0, w - |d - p|)."""
    assert widths is not None
    return (widths - (grid - positions).abs()).relu()


def _triangle_slopes(grid: Tensor, positions: Tensor, widths: Tensor | None, factor: Tensor) -> tuple[Tensor, Tensor]:
    """sign(d - p) and 1, where the factor is above 0."""
    is_reached = (factor > 0).to(factor.dtype)
    return (grid - positions).sign_().mul_(is_reached), is_reached


def _bilinear(grid: Tensor, positions: Tensor, widths: Tensor | None) -> Tensor:
    """max(0, 1 - |d - p|)."""
    return (1 - (grid - positions).abs()).relu()


def _bilinear_slopes(grid: Tensor, positions: Tensor, widths: Tensor | None, factor: Tensor) -> tuple[Tensor, None]:
    """sign(d - p), where the factor is above 0."""
    return (grid - positions).sign_().mul_(factor > 0), None


def _bilinear_floor(grid: Tensor, positions: Tensor, widths: Tensor | None) -> Tensor:
    """1 - r on the tap floor(p) and r on the next, r = p - floor(p).

    It equals `_bilinear` before normalisation; at integer positions it keeps the slope towards the next tap, where
    that of `_bilinear` is zero.
    """
    lower = positions.floor()
    remainder = positions - lower
    steps = grid - lower
    return torch.where(steps == 0, 1 - remainder, torch.where(steps == 1, remainder, 0.0))


def _bilinear_floor_slopes(
    grid: Tensor, positions: Tensor, widths: Tensor | None, factor: Tensor
) -> tuple[Tensor, None]:
    """-1 on the tap floor(p), 1 on the next."""
    steps = grid - positions.floor()
    return (steps == 1).to(factor.dtype).sub_((steps == 0).to(factor.dtype)), None


INTERPOLATIONS: dict[str, Interpolation] = {
    form.name: form
    for form in (
        Interpolation("gauss", _gauss, _gauss_slopes, spread_floor=0.27, initial_spread=0.23),
        Interpolation("triangle", _triangle, _triangle_slopes, spread_floor=1.0),
        Interpolation("bilinear", _bilinear, _bilinear_slopes),
        Interpolation("bilinear_floor", _bilinear_floor, _bilinear_floor_slopes, normalised=False),
    )
}
AUTHORS_VERSIONS = {"gauss": "gauss", "triangle": "max", "bilinear": "v1", "bilinear_floor": "v0"}
"""Our name of an interpolation -> the `version` of the authors' layers."""


def find_interpolation(name: str) -> Interpolation:
    """The interpolation of a name; an unknown name is refused by an `ArgumentError`.

    >>> find_interpolation("gauss").spread_floor
    0.27
    """
    form = INTERPOLATIONS.get(name)
    if form is None:
        ours = next((ours for ours, theirs in AUTHORS_VERSIONS.items() if theirs == name), None)
        hint = f"; the authors' '{name}' is '{ours}' here" if ours else ""
        raise ArgumentError(f"`interpolation` (={name!r}) must be one of {', '.join(INTERPOLATIONS)}{hint}")
    return form
