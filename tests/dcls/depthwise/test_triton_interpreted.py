"""The Triton kernels in the interpreter, against torch; `test_triton.py` runs this file in its own process."""

from __future__ import annotations

import os

import pytest
import torch
import torch.nn.functional as F

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("run with TRITON_INTERPRET=1", allow_module_level=True)
from audio_dcls.dcls.depthwise import triton as triton_module
from audio_dcls.dcls.depthwise.triton import convolve_triton, weight_gradient_triton

SHAPES = [
    ((2, 3, 8, 7), (5, 3), (2, 1)),
    ((1, 2, 6, 20), (4, 6), (2, 3)),
    ((2, 2, 5, 4), (9, 9), (4, 4)),
    ((1, 2, 9, 8), (3, 5), (0, 0)),
]


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    assert actual.shape == expected.shape
    return float((actual.double() - expected).detach().abs().max() / expected.detach().abs().max())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("shape", "kernel", "padding"), SHAPES)
def test_triton_equals_torch(shape, kernel, padding, layout):
    x = torch.randn(shape).contiguous(memory_format=layout)
    weight, bias = torch.randn(shape[1], 1, *kernel), torch.randn(shape[1])
    exact = weight.double().requires_grad_()
    expected = F.conv2d(x.double(), exact, bias.double(), padding=padding, groups=shape[1])
    output = convolve_triton(x, weight, bias, padding)
    assert output.is_contiguous(memory_format=layout)
    assert relative_error(output, expected) < 1e-5
    grad = torch.randn(expected.shape)
    (expected_gradient,) = torch.autograd.grad(expected, exact, grad.double())
    assert relative_error(weight_gradient_triton(x, grad, kernel, padding), expected_gradient) < 1e-5


def test_wide_maps_are_tiled(monkeypatch):
    monkeypatch.setattr(triton_module, "_MAX_TILE", 16)
    x = torch.randn(1, 1, 3, 40)
    exact = torch.zeros(1, 1, 3, 7, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(F.conv2d(x.double(), exact, padding=(1, 3)), exact, x.double())
    assert relative_error(weight_gradient_triton(x, x, (3, 7), (1, 3)), expected) < 1e-5
