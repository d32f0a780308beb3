"""Convolution and weight gradient by generated code, against torch in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from audio_dcls.dcls.depthwise import compiled as compiled_module
from audio_dcls.dcls.depthwise import machine_code
from audio_dcls.dcls.depthwise.compiled import compiled_covers, convolve_compiled, weight_gradient_compiled
from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d
from audio_dcls.dcls.depthwise.weight_gradient import choose_method

pytest.importorskip("llvmlite")
from audio_dcls.dcls.depthwise import machine_code as machine_code_module
from audio_dcls.dcls.depthwise.codegen import RowShape
from audio_dcls.dcls.depthwise.codegen_forward import ForwardEmitter
from audio_dcls.dcls.depthwise.codegen_gradient import GradientEmitter
from audio_dcls.dcls.depthwise.forward import convolve
from audio_dcls.dcls.depthwise.machine_code import has_pair_products, host_vectors

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
        monkeypatch.setattr(compiled_module, "_SCRATCH_BYTES", scratch_bytes)
        assert relative_error(weight_gradient_compiled(x, grad, kernel, padding), x, grad, padding) < 1e-5


def test_an_expanded_gradient_is_read_through_its_zero_steps():
    x = torch.randn(2, 20, 8, 9)
    grad = torch.tensor(0.5).expand(2, 20, 8, 9)
    assert relative_error(weight_gradient_compiled(x, grad, (3, 5), (1, 2)), x, grad, (1, 2)) < 1e-5


def test_an_empty_batch_has_a_zero_gradient():
    x = torch.randn(0, 3, 8, 9)
    assert not weight_gradient_compiled(x, x, (3, 3), (1, 1)).any()


PROCESSORS = [(4, 16, False), (4, 32, False), (8, 16, False), (16, 32, False), (16, 32, True)]


@pytest.mark.parametrize(("num_lanes", "num_registers", "has_pairs"), PROCESSORS)
@pytest.mark.parametrize(("shape", "kernel", "padding"), [((2, 19, 4, 14), (3, 23), (1, 11)), *SHAPES[:3]])
def test_every_processors_vectors_compute_the_same(
    shape, kernel, padding, num_lanes, num_registers, has_pairs, monkeypatch
):
    if num_lanes > host_vectors()[0] or (has_pairs and not has_pair_products()):
        pytest.skip("this processor lacks these instructions")
    monkeypatch.setattr(machine_code_module, "host_vectors", lambda: (num_lanes, num_registers))
    monkeypatch.setattr(machine_code_module, "has_pair_products", lambda: has_pairs)
    x, grad = make_pair(shape, kernel, padding, torch.bfloat16)
    assert relative_error(weight_gradient_compiled(x, grad, kernel, padding), x, grad, padding) < 1e-5
    weight, bias = make_weight(shape[1], kernel)
    assert forward_error(x, weight, bias, padding) < BFLOAT16_STEP
    assert forward_error(x.float(), weight, bias, padding) < 1e-5


def make_weight(num_channels: int, kernel: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights that bfloat16 represents exactly, and a bias."""
    generator = torch.Generator().manual_seed(num_channels)
    weight = torch.randn(num_channels, 1, *kernel, generator=generator).bfloat16().float()
    return weight, torch.randn(num_channels, generator=generator)


def forward_error(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: tuple[int, int]) -> float:
    """The largest difference from torch in float64, divided by the largest value."""
    expected_bias = None if bias is None else bias.double()
    expected = F.conv2d(x.double(), weight.double(), expected_bias, padding=padding, groups=x.shape[1])
    actual = convolve_compiled(x, weight, bias, padding)
    assert actual.dtype == x.dtype and actual.shape == expected.shape
    return float((actual - expected).abs().max() / expected.abs().max())


BFLOAT16_STEP = 2**-8
"""Relative error of rounding the result to bfloat16; products and sums are float32."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("shape", "kernel", "padding"), SHAPES)
def test_convolution_equals_torch(shape, kernel, padding, dtype):
    x, _ = make_pair(shape, kernel, padding, dtype)
    weight, bias = make_weight(shape[1], kernel)
    tolerance = 1e-5 if dtype == torch.float32 else BFLOAT16_STEP
    assert forward_error(x, weight, bias, padding) < tolerance
    assert forward_error(x, weight.flip(2, 3), None, padding) < tolerance
    assert convolve_compiled(x[:0], weight, bias, padding).shape[0] == 0


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_threads_and_parts_change_no_bit_of_the_convolution(num_threads, monkeypatch):
    x, _ = make_pair((5, 40, 12, 11), (9, 7), (4, 3), torch.float32)
    weight, bias = make_weight(40, (9, 7))
    before = torch.get_num_threads()
    expected = convolve_compiled(x, weight, bias, (4, 3))
    monkeypatch.setattr(compiled_module, "_SCRATCH_BYTES", 1)
    torch.set_num_threads(num_threads)
    try:
        assert torch.equal(convolve_compiled(x, weight, bias, (4, 3)), expected)
    finally:
        torch.set_num_threads(before)


def test_without_openmp_a_pool_does_it(monkeypatch):
    monkeypatch.setattr(machine_code, "_openmp_parallel", lambda: None)
    x, _ = make_pair((3, 40, 12, 11), (9, 7), (4, 3), torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert forward_error(x, *make_weight(40, (9, 7)), (4, 3)) < 1e-5
    finally:
        torch.set_num_threads(before)


def test_what_is_not_a_number_stays_so_and_infinity_too():
    x = torch.ones(1, 2, 4, 4, dtype=torch.bfloat16)
    x[0, 0, 0, 0], x[0, 1, 0, 0] = torch.nan, torch.inf
    y = convolve_compiled(x, torch.ones(2, 1, 1, 1), None, (0, 0))
    assert y[0, 0, 0, 0].isnan() and y[0, 1, 0, 0] == torch.inf
    assert torch.equal(y[0, 0, 1:], x[0, 0, 1:])


def test_no_product_with_padding_is_generated():
    shape = RowShape(15, 15, 23, 11, False, False, 16, 32)
    assert shape.num_products == sum(15 - abs(lag) for lag in range(-11, 12))
    for emitter in (GradientEmitter(shape), ForwardEmitter(shape)):
        # plus, for each tap of the gradient, one addition of a group of clips to the sum
        assert emitter.generate("code").count("fadd contract") == shape.num_products


def test_convolution_chosen_where_it_pays():
    x, weight, bias = torch.randn(2, 32, 32, 31), *make_weight(32, (23, 23))
    assert torch.equal(convolve(x, weight, bias, (11, 11)), convolve_compiled(x, weight, bias, (11, 11)))
    small = weight[:, :, 10:13, 10:13]
    assert torch.equal(convolve(x, small, bias, (1, 1)), F.conv2d(x, small, bias, padding=1, groups=32))


def test_chosen_where_it_pays():
    large, small = torch.zeros(2, 96, 64, 62), torch.zeros(1, 2, 8, 8)
    assert choose_method(large, (23, 23)) == "compiled"
    assert choose_method(large, (3, 3)) == "torch"
    assert choose_method(small, (23, 23)) == "gemm"
    assert not compiled_covers(large.double(), (23, 23))
    assert not compiled_covers(torch.zeros(1, 1, 1, 5000), (3, 3))


def test_reached_through_the_module(monkeypatch):
    monkeypatch.setattr("audio_dcls.dcls.depthwise.thresholds.COMPILED_MIN_PRODUCTS", 0)
    ours = DepthwiseConv2d(20, (9, 7), padding=(4, 3))
    x = torch.randn(2, 20, 12, 11)
    ours(x).square().sum().backward()
    theirs = torch.nn.Conv2d(20, 20, (9, 7), padding=(4, 3), groups=20)
    theirs.load_state_dict(ours.state_dict())
    theirs(x).square().sum().backward()
    assert ours.weight.grad is not None and theirs.weight.grad is not None
    assert torch.allclose(ours.weight.grad, theirs.weight.grad, rtol=1e-5, atol=1e-4)


def test_transforms_and_tensors_without_memory_go_round_it():
    layer = DepthwiseConv2d(32, 9, padding=4)
    x = torch.randn(3, 2, 32, 40, 40)
    with torch.no_grad():
        expected = torch.stack([layer(one) for one in x])
        assert torch.allclose(torch.func.vmap(layer)(x), expected, atol=1e-5)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert layer(mode.from_tensor(x[0])).shape == x[0].shape
