"""Depthwise convolution by each method against torch in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from audio_dcls.dcls.depthwise.forward import convolve
from audio_dcls.errors import ArgumentError

SHAPES = [
    ((2, 3, 8, 7), (5, 3), (2, 1)),
    ((1, 2, 6, 20), (4, 6), (2, 3)),
    ((2, 2, 5, 4), (9, 9), (4, 4)),
    ((1, 2, 9, 8), (3, 5), (0, 0)),
]


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    assert actual.shape == expected.shape
    return float((actual.double() - expected).abs().max() / expected.abs().max())


def make_inputs(shape: tuple[int, ...], kernel: tuple[int, int], dtype: torch.dtype):
    generator = torch.Generator().manual_seed(sum(shape))
    sizes = (shape, (shape[1], 1, *kernel), shape[1:2])
    return (torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("shape", "kernel", "padding"), SHAPES)
def test_fft_convolution_equals_torch(shape, kernel, padding, dtype):
    x, weight, bias = make_inputs(shape, kernel, dtype)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=padding, groups=shape[1])
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    assert relative_error(convolve(x, weight, bias, padding, method="fft"), expected) < tolerance


def test_an_unknown_method_is_refused():
    x, weight, bias = make_inputs((1, 2, 4, 4), (3, 3), torch.float32)
    with pytest.raises(ArgumentError, match="`method`"):
        convolve(x, weight, bias, (1, 1), method="direct")  # pyright: ignore[reportArgumentType]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_cuda_device_every_gradient_equals_torch(dtype):
    from audio_dcls.dcls.depthwise.operator import depthwise_conv

    inputs = [t.cuda().requires_grad_() for t in make_inputs((2, 24, 32, 31), (23, 23), dtype)]
    exact = [t.detach().double().requires_grad_() for t in inputs]
    output = depthwise_conv(inputs[0], inputs[1], inputs[2], padding=11)
    expected = F.conv2d(exact[0], exact[1], exact[2], padding=11, groups=24)
    grad = torch.randn_like(output)
    gradients = torch.autograd.grad(output, inputs, grad)
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    for actual, reference in zip(gradients, torch.autograd.grad(expected, exact, grad.double()), strict=True):
        assert relative_error(actual.detach(), reference) < tolerance
