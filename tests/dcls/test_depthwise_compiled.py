"""The weight gradient by generated code, against torch's own in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from audio_dcls.dcls import depthwise_compiled
from audio_dcls.dcls.depthwise import DepthwiseConv2d
from audio_dcls.dcls.depthwise_compiled import compiled_covers, host_vectors, weight_gradient_compiled
from audio_dcls.dcls.depthwise_dispatch import choose_method

pytest.importorskip("llvmlite")
from audio_dcls.dcls.depthwise_codegen import KernelShape, generate

# Channels below, at and above a vector's width; kernels wider than the registers; maps smaller than the kernel.
SHAPES = [
    ((2, 17, 6, 31), (23, 23), (11, 11)),
    ((3, 16, 8, 7), (15, 13), (7, 6)),
    ((1, 4, 12, 30), (4, 6), (2, 3)),
    ((2, 40, 30, 20), (23, 9), (0, 0)),
    ((2, 3, 6, 5), (8, 8), (4, 4)),
    ((3, 2, 5, 60), (3, 40), (1, 20)),
    ((2, 16, 9, 9), (5, 3), (4, 2)),
    ((1, 1, 1, 1), (1, 1), (0, 0)),
]


def make_pair(shape: tuple[int, ...], kernel: tuple[int, int], padding: tuple[int, int], dtype: torch.dtype):
    generator = torch.Generator().manual_seed(sum(shape))
    out_shape = [*shape[:2], *(shape[2 + d] + 2 * padding[d] - kernel[d] + 1 for d in range(2))]
    return (torch.randn(s, generator=generator).to(dtype) for s in (shape, out_shape))


def relative_error(actual: torch.Tensor, x: torch.Tensor, grad: torch.Tensor, padding: tuple[int, int]) -> float:
    weight = torch.zeros(actual.shape, dtype=torch.float64, requires_grad=True)
    output = F.conv2d(x.double(), weight, padding=padding, groups=x.shape[1])
    expected = torch.autograd.grad(output, weight, grad.double())[0]
    return float((actual - expected).abs().max() / expected.abs().max())


# bfloat16 and float16 are widened exactly and summed in float32: as exact as float32 inputs.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("shape", "kernel", "padding"), SHAPES)
def test_equals_torch(shape, kernel, padding, dtype):
    x, grad = make_pair(shape, kernel, padding, dtype)
    actual = weight_gradient_compiled(x, grad, kernel, padding)
    assert actual.dtype == torch.float32
    assert relative_error(actual, x, grad, padding) < 1e-5


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_threads_and_layouts_change_no_bit_and_torchs_setting_stays(num_threads):
    kernel, padding = (9, 7), (4, 3)
    x, grad = make_pair((5, 40, 12, 11), kernel, padding, torch.float32)
    before = torch.get_num_threads()
    expected = weight_gradient_compiled(x, grad, kernel, padding)
    torch.set_num_threads(num_threads)
    try:
        x, grad = (t.contiguous(memory_format=torch.channels_last) for t in (x, grad))
        actual = weight_gradient_compiled(x, grad, kernel, padding)
        assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(actual, expected)


def test_clips_are_grouped_by_scratch_size(monkeypatch):
    kernel, padding = (5, 5), (2, 2)
    x, grad = make_pair((5, 16, 7, 6), kernel, padding, torch.float32)
    for scratch_bytes in (1, 2 * 64 * 2 * 42, 2**24):
        monkeypatch.setattr(depthwise_compiled, "SCRATCH_BYTES", scratch_bytes)
        assert relative_error(weight_gradient_compiled(x, grad, kernel, padding), x, grad, padding) < 1e-5


def test_an_expanded_gradient_is_read_through_its_zero_steps():
    x = torch.randn(2, 20, 8, 9)
    grad = torch.tensor(0.5).expand(2, 20, 8, 9)
    assert relative_error(weight_gradient_compiled(x, grad, (3, 5), (1, 2)), x, grad, (1, 2)) < 1e-5


def test_an_empty_batch_has_a_zero_gradient():
    x = torch.randn(0, 3, 8, 9)
    assert not weight_gradient_compiled(x, x, (3, 3), (1, 1)).any()


@pytest.mark.parametrize(("num_lanes", "num_registers"), [(4, 16), (4, 32), (8, 16), (16, 32)])
def test_every_processors_vectors_compute_the_same(num_lanes, num_registers, monkeypatch):
    if num_lanes > host_vectors()[0]:
        pytest.skip("this processor's vectors are narrower")
    monkeypatch.setattr(depthwise_compiled, "host_vectors", lambda: (num_lanes, num_registers))
    kernel, padding = (3, 23), (1, 11)
    x, grad = make_pair((2, 19, 4, 14), kernel, padding, torch.bfloat16)
    assert relative_error(weight_gradient_compiled(x, grad, kernel, padding), x, grad, padding) < 1e-5


def test_no_product_with_padding_is_generated():
    shape = KernelShape(15, 15, 23, 11, False, 16, 32)
    assert shape.num_products == sum(15 - abs(lag) for lag in range(-11, 12))
    assert generate(shape, "gradient").count("fadd contract") == shape.num_products


def test_chosen_where_it_pays():
    large, small = torch.zeros(2, 96, 64, 62), torch.zeros(1, 2, 8, 8)
    assert choose_method(large, (23, 23)) == "compiled"
    assert choose_method(large, (3, 3)) == "torch"
    assert choose_method(small, (23, 23)) == "gemm"
    assert not compiled_covers(large.double(), (23, 23))
    assert not compiled_covers(torch.zeros(1, 1, 1, 5000), (3, 3))


def test_reached_through_the_module(monkeypatch):
    monkeypatch.setattr("audio_dcls.dcls.depthwise_dispatch.COMPILED_MIN_PRODUCTS", 0)
    ours = DepthwiseConv2d(20, (9, 7), padding=(4, 3))
    x = torch.randn(2, 20, 12, 11)
    ours(x).square().sum().backward()
    theirs = torch.nn.Conv2d(20, 20, (9, 7), padding=(4, 3), groups=20)
    theirs.load_state_dict(ours.state_dict())
    theirs(x).square().sum().backward()
    assert ours.weight.grad is not None and theirs.weight.grad is not None
    assert torch.allclose(ours.weight.grad, theirs.weight.grad, rtol=1e-5, atol=1e-4)
