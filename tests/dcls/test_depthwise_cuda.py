"""What CUDA devices choose from: FFT and Triton methods against torch's own, and the choice by measurement."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from audio_dcls.dcls.depthwise.forward import convolve
from audio_dcls.dcls.depthwise.tuning import _fastest, fastest_method
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


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_triton_kernels_pass_their_tests_in_the_interpreter():
    # Triton decides at its import whether to interpret, so a fresh process does.
    path = Path(__file__).with_name("test_depthwise_triton.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert " skipped" not in result.stdout


def told_ms(call: Callable[[], object]) -> float:
    """A timer for methods that return the time they would take."""
    return float(call())  # pyright: ignore[reportArgumentType]


def test_the_fastest_method_is_measured_once():
    calls: list[str] = []
    times_ms = {"slow": 2.0, "fast": 1.0}

    def make(name: str):
        def method() -> float:
            calls.append(name)
            return times_ms[name]

        return method

    methods = {name: make(name) for name in times_ms}
    key = "the fastest method is measured once"
    assert fastest_method(key, methods, timer_ms=told_ms) == "fast"
    num_calls = len(calls)
    assert fastest_method(key, methods, timer_ms=told_ms) == "fast"
    assert len(calls) == num_calls
    _fastest.pop(key)


def test_a_method_without_memory_is_out_and_determinism_takes_the_first():
    def exhausted() -> float:
        raise torch.OutOfMemoryError("no memory")

    methods = {"first": lambda: 2.0, "exhausted": exhausted, "fast": lambda: 1.0}
    assert fastest_method("memory", methods, timer_ms=told_ms) == "fast"
    torch.use_deterministic_algorithms(True)
    try:
        assert fastest_method("memory", methods, timer_ms=told_ms) == "first"
    finally:
        torch.use_deterministic_algorithms(False)
    _fastest.pop("memory")


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
