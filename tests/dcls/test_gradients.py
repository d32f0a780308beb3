"""Written-out derivatives against recorded ones and finite differences, and their memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from audio_dcls.dcls import DclsConv2d, share_positions
from audio_dcls.dcls.gradients import build_factors, build_kernel, rebuild_in_backward
from audio_dcls.dcls.interpolation import INTERPOLATIONS, Interpolation
from audio_dcls.dcls.kernel import axis_factors, combine_factors

FORMS = list(INTERPOLATIONS.values())
SIZES = [(6,), (5, 4), (3, 2, 4)]


def elements(size: tuple[int, ...], form: Interpolation, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Weights, positions within and just beyond the kernel, and spreads, all requiring gradients."""
    generator = torch.Generator().manual_seed(len(size))
    weight = torch.randn(3, 1, 2, generator=generator, dtype=dtype)
    positions = (torch.rand(len(size), 3, 1, 2, generator=generator, dtype=dtype) - 0.5) * 1.2 * max(size)
    spreads = 0.5 * torch.randn(len(size), 3, 1, 2, generator=generator, dtype=dtype)
    tensors = [weight, positions, spreads] if form.has_spreads else [weight, positions]
    return [tensor.requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_written_gradients_are_the_recorded_ones(form: Interpolation, size: tuple[int, ...]) -> None:
    tensors = elements(size, form)
    spreads = tensors[2] if form.has_spreads else None
    plain = combine_factors(tensors[0], axis_factors(tensors[1], spreads, size, form))
    lean = build_kernel(tensors[0], build_factors(tensors[1], spreads, size, form))
    torch.testing.assert_close(lean, plain, rtol=0, atol=1e-14)
    upstream = torch.cos(torch.arange(plain.numel(), dtype=plain.dtype)).reshape(plain.shape)
    expected = torch.autograd.grad(plain, tensors, upstream)
    for found, wanted in zip(torch.autograd.grad(lean, tensors, upstream), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_first_and_second_derivatives_by_finite_differences(form: Interpolation, size: tuple[int, ...]) -> None:
    def lean(*tensors: Tensor) -> Tensor:
        return build_kernel(tensors[0], build_factors(tensors[1], (*tensors, None)[2], size, form))

    tensors = elements(size, form)
    assert torch.autograd.gradcheck(lean, tensors)
    assert torch.autograd.gradcheck(lambda *inputs: rebuild_in_backward(lean, *inputs), tensors)
    assert torch.autograd.gradgradcheck(lean, tensors)


def test_spreads_may_be_constant_and_parameters_narrow() -> None:
    form = INTERPOLATIONS["gauss"]
    weight, positions, spreads = elements((5, 4), form)
    factors = build_factors(positions, spreads.detach(), (5, 4), form)
    (found,) = torch.autograd.grad(build_kernel(weight, factors).square().sum(), positions)
    wanted = torch.autograd.grad(
        combine_factors(weight, axis_factors(positions, spreads, (5, 4), form)).square().sum(), positions
    )[0]
    torch.testing.assert_close(found, wanted)
    half = [tensor.detach().bfloat16().requires_grad_() for tensor in (weight, positions, spreads)]
    build_kernel(half[0], build_factors(half[1], half[2], (5, 4), form)).sum().backward()
    assert all(tensor.grad is not None and tensor.grad.dtype == torch.bfloat16 for tensor in half)


@pytest.mark.parametrize("shared", [False, True])
def test_construction_keeps_less_than_the_kernels_it_builds(shared: bool) -> None:
    """Without the parameters; the factors of a group of three take as much memory as 2.26 kernels, if they are kept."""
    layers = [DclsConv2d(16, 16, 26, 23, padding=11, groups=16) for _ in range(3)]
    if shared:
        share_positions(layers)
    own = {p.data_ptr() for layer in layers for p in layer.parameters()}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            saved[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kernels = [layer.dense_kernel() for layer in layers]
    assert sum(saved.values()) <= sum(kernel.untyped_storage().nbytes() for kernel in kernels)
