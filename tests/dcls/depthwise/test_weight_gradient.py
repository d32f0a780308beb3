"""Each method for a depthwise weight gradient, against torch in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from audio_dcls.dcls.depthwise.weight_gradient import num_outside_taps, weight_gradient
from audio_dcls.errors import ArgumentError

SHAPES = [
    ((1, 17, 12, 31), (23, 23), (11, 11)),
    ((2, 5, 8, 7), (23, 23), (11, 11)),
    ((1, 4, 12, 30), (4, 6), (2, 3)),
    ((2, 3, 30, 20), (23, 9), (0, 0)),
    ((2, 3, 6, 5), (8, 8), (4, 4)),
    ((3, 2, 5, 40), (3, 40), (1, 20)),
    ((2, 16, 9, 9), (5, 3), (4, 2)),
]


def expected_gradient(x: torch.Tensor, grad: torch.Tensor, kernel: tuple[int, int], padding: tuple[int, int]):
    weight = torch.zeros((x.shape[1], 1, *kernel), dtype=torch.float64, requires_grad=True)
    output = F.conv2d(x.double(), weight, padding=padding, groups=x.shape[1])
    return torch.autograd.grad(output, weight, grad.double())[0]


def make_pair(shape: tuple[int, ...], kernel: tuple[int, int], padding: tuple[int, int], dtype: torch.dtype):
    generator = torch.Generator().manual_seed(sum(shape))
    out_shape = [*shape[:2], *(shape[2 + d] + 2 * padding[d] - kernel[d] + 1 for d in range(2))]
    return (torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in (shape, out_shape))


@pytest.mark.parametrize("method", ["torch", "fft", "gemm"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("shape", "kernel", "padding"), SHAPES)
def test_methods_equal_torch(shape, kernel, padding, dtype, method):
    x, grad = make_pair(shape, kernel, padding, dtype)
    expected = expected_gradient(x, grad, kernel, padding)
    actual = weight_gradient(x, grad, kernel, padding, method=method)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    assert actual.dtype == dtype
    assert float((actual - expected).abs().max() / expected.abs().max()) < tolerance


def test_an_unknown_method_is_refused():
    x = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ArgumentError, match="`method`"):
        weight_gradient(x, x, (1, 1), (0, 0), method="direct")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("size", "taps", "padding"), [(7, 23, 11), (8, 23, 11), (5, 8, 4), (64, 23, 11), (3, 9, 6)])
def test_outside_taps_never_meet_the_map(size, taps, padding):
    out_size = size + 2 * padding - taps + 1
    meets = [any(0 <= a + i - padding < size for a in range(out_size)) for i in range(taps)]
    leading, trailing = meets.index(True), meets[::-1].index(True)
    assert num_outside_taps(size, taps, padding) == min(leading, trailing)
