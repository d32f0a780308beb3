"""Construction of kernels with written-out derivatives: half the time of recorded ones, and next to no memory.

Axis legend: C kernels (output times input channels), K elements, M learned axes, S_m taps of axis m.

`kernel.py` defines the kernel in plain operations; this module computes the same values and keeps next to nothing for
the backward pass. Each function can be differentiated twice: second derivatives go through the plain operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from audio_dcls.dcls.interpolation import Interpolation, tap_grid
from audio_dcls.dcls.kernel import (
    at_least_float32,
    axis_factors,
    combine_factors,
    full_precision,
    normalise,
    raw_factors,
)


def build_factors(
    positions: Tensor,
    spreads: Tensor | None,
    sizes: Sequence[int],
    interpolation: Interpolation,
    on_backward: Callable[[], None] | None = None,
) -> tuple[Tensor, ...]:
    """`axis_factors` for several consumers: nothing is freed after a backward pass, so several passes may follow.

    `on_backward` is called when gradients arrive.
    """
    return _Factors.apply(tuple(sizes), interpolation, on_backward, positions, spreads)  # pyright: ignore


def build_kernel(weight: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """`combine_factors`, which keeps only its arguments for the backward pass."""
    return _Kernel.apply(weight, *factors)  # pyright: ignore


def rebuild_in_backward(build: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Call `build(*tensors)` and keep only the tensors for its gradient: the backward pass computes the rest again.

    `build` is differentiable and uses no randomness.
    """
    return _Rebuilt.apply(build, *tensors)  # pyright: ignore


class _Factors(torch.autograd.Function):
    """See `build_factors`.

    It keeps its inputs, which are leaves, and factors that the cache holds anyway. They are attributes instead of saved
    tensors, so that neither a backward pass nor activation checkpointing frees them.
    """

    @staticmethod
    def forward(
        ctx: Any, sizes: tuple[int, ...], form: Interpolation, on_backward: Any, positions: Tensor, spreads: Any
    ) -> tuple[Tensor, ...]:
        ctx.sizes, ctx.form, ctx.on_backward = sizes, form, on_backward
        ctx.positions, ctx.spreads = positions, spreads
        ctx.versions = _versions(positions, spreads)
        with full_precision(positions.device):
            factors, ctx.sums, ctx.mass = normalise(raw_factors(positions, spreads, sizes, form), form)
        ctx.factors = [factor.detach() for factor in factors]
        return factors

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        if _versions(ctx.positions, ctx.spreads) != ctx.versions:
            raise RuntimeError(
                "positions or spreads were changed between the forward pass and its backward pass; change them after it"
            )
        if ctx.on_backward is not None:
            ctx.on_backward()
        if torch.is_grad_enabled():
            return None, None, None, *_recorded_gradients(ctx, gradients)
        with full_precision(ctx.positions.device):
            found = [_axis_gradients(ctx, axis, gradients) for axis in range(len(ctx.sizes))]
        by_position = torch.stack([pair[0] for pair in found]).to(ctx.positions.dtype)
        if not ctx.needs_input_grad[4]:
            return None, None, None, by_position, None
        by_width = torch.stack([pair[1] for pair in found])
        return None, None, None, by_position, (by_width * ctx.spreads.sign()).to(ctx.spreads.dtype)


def _axis_gradients(ctx: Any, axis: int, gradients: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Derivatives with respect to the positions and the widths along one axis, (..., K) each."""
    factor, gradient = ctx.factors[axis], gradients[axis]
    if ctx.mass is not None:
        # The first factor was divided by the mass, the product of the sums of all: f_0 / m.
        others = prod(total for other, total in enumerate(ctx.sums) if other != axis)
        by_mass = (gradients[0] * ctx.factors[0]).sum(-1, keepdim=True).div_(ctx.mass).neg_()
        if axis == 0:
            factor, gradient = factor * ctx.mass, gradient / ctx.mass
        gradient = gradient + by_mass * others
    positions = at_least_float32(ctx.positions)[axis].unsqueeze(-1)
    widths = None
    if ctx.spreads is not None:
        widths = ctx.form.effective_spreads(at_least_float32(ctx.spreads)[axis].unsqueeze(-1))
    grid = tap_grid(ctx.sizes[axis], dtype=positions.dtype, device=positions.device)
    by_position, by_width = ctx.form.slopes(grid, positions, widths, factor)
    by_position = by_position.mul_(gradient).sum(-1)
    return by_position, by_position if by_width is None else by_width.mul_(gradient).sum(-1)


def _recorded_gradients(ctx: Any, gradients: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """The gradients of both inputs, recorded for a second derivative."""
    tensors = [ctx.positions] if ctx.spreads is None else [ctx.positions, ctx.spreads]
    factors = axis_factors(ctx.positions, ctx.spreads, ctx.sizes, ctx.form)
    wanted = [tensor for tensor, need in zip(tensors, ctx.needs_input_grad[3:], strict=False) if need]
    found = iter(torch.autograd.grad(factors, wanted, gradients, create_graph=True))
    return tuple(next(found) if need else None for need in ctx.needs_input_grad[3:])


class _Kernel(torch.autograd.Function):
    """See `build_kernel`."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, *factors: Tensor) -> Tensor:
        ctx.save_for_backward(weight, *factors)
        return combine_factors(weight, factors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        weight, *factors = ctx.saved_tensors
        if len(factors) != 2:
            return _gradients_by_rebuilding(_combine, ctx.saved_tensors, gradient, ctx.needs_input_grad)
        num_elements = weight.shape[-1]
        rows, columns = (factor.reshape(-1, num_elements, factor.shape[-1]) for factor in factors)
        with full_precision(weight.device):
            gradient = gradient.reshape(-1, rows.shape[-1], columns.shape[-1]).to(rows.dtype)
            element_weights = weight.reshape(-1, num_elements, 1).to(rows.dtype)
            by_rows = torch.bmm(columns, gradient.transpose(1, 2))
            by_weight = (by_rows * rows).sum(-1)
            by_columns = torch.bmm(rows * element_weights, gradient)
            by_rows = by_rows * element_weights
        return (
            by_weight.reshape(weight.shape).to(weight.dtype),
            by_rows.reshape(factors[0].shape),
            by_columns.reshape(factors[1].shape),
        )


class _Rebuilt(torch.autograd.Function):
    """See `rebuild_in_backward`."""

    @staticmethod
    def forward(ctx: Any, build: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        ctx.build = build
        ctx.save_for_backward(*tensors)
        return build(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_gradients_by_rebuilding(ctx.build, ctx.saved_tensors, gradients[0], ctx.needs_input_grad[1:])


def _combine(weight: Tensor, *factors: Tensor) -> Tensor:
    return combine_factors(weight, factors)


def _gradients_by_rebuilding(
    build: Callable[..., Tensor], tensors: Sequence[Tensor], gradient: Tensor, needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Gradients of `build` with respect to `tensors`, None where not needed; recorded while autograd is on."""
    keep_graph = torch.is_grad_enabled()
    pairs = list(zip(tensors, needed, strict=True))
    with torch.enable_grad():
        inputs = [tensor if keep_graph else tensor.detach().requires_grad_(need) for tensor, need in pairs]
        output = build(*inputs)
    wanted = [tensor for tensor, need in zip(inputs, needed, strict=True) if need]
    found = iter(torch.autograd.grad(output, wanted, gradient, create_graph=keep_graph))
    return tuple(next(found) if need else None for need in needed)


def _versions(positions: Tensor, spreads: Tensor | None) -> tuple[int, ...]:
    """Version counters of the tensors that have one; tensors made in inference mode do not."""
    return tuple(t._version for t in (positions, spreads) if t is not None and not t.is_inference())
