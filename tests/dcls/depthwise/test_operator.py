"""Depthwise convolution against torch's: outputs and all gradients."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F

from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d, depthwise_conv
from audio_dcls.errors import ArgumentError

# (N, C, H, W), kernel, padding: odd, even and non-square kernels and maps, "same", "valid" and between, maps smaller
# than the kernel, and a channel count on either side of a vector's width.
SHAPES = [
    ((1, 3, 6, 31), (23, 23), (11, 11)),
    ((2, 5, 8, 7), (23, 23), (11, 11)),
    ((3, 5, 16, 15), (23, 23), (11, 11)),
    ((2, 3, 20, 19), (7, 7), (3, 3)),
    ((2, 17, 9, 10), (3, 3), (1, 1)),
    ((1, 4, 12, 30), (4, 6), (2, 3)),
    ((2, 3, 30, 20), (23, 9), (0, 0)),
    ((2, 3, 6, 5), (8, 8), (4, 4)),
    ((3, 2, 5, 40), (3, 40), (1, 20)),
    ((2, 3, 1, 50), (1, 31), (0, 15)),
    ((1, 1, 5, 4), (1, 1), (0, 0)),
    ((2, 3, 9, 9), (5, 3), (4, 2)),
]
# float32 sums of up to a few thousand products, against torch's sums in another order.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    assert actual.shape == expected.shape
    scale = expected.detach().double().abs().max().clamp_min(1e-30)
    return float((actual.detach().double() - expected.detach().double()).abs().max() / scale)


def make_inputs(
    shape: tuple[int, int, int, int], kernel: tuple[int, int], dtype: torch.dtype, layout: str = "channels_last"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(shape) + sum(kernel))
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "strided":
        x = x.repeat_interleave(2, 3).repeat_interleave(2, 1)[:, ::2, :, ::2]
    weight = torch.randn((shape[1], 1, *kernel), generator=generator, dtype=torch.float64).to(dtype)
    bias = torch.randn(shape[1], generator=generator, dtype=torch.float64).to(dtype)
    return tuple(t.detach().requires_grad_() for t in (x, weight, bias))  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("shape", "kernel", "padding"), SHAPES)
def test_output_and_gradients_equal_torch(shape, kernel, padding, dtype):
    inputs = make_inputs(shape, kernel, dtype)
    exact = [t.detach().double().requires_grad_() for t in inputs]
    output = depthwise_conv(*inputs, padding=padding)
    expected = F.conv2d(exact[0], exact[1], exact[2], padding=padding, groups=shape[1])
    cotangent = torch.randn(expected.shape, dtype=torch.float64).to(dtype)
    gradients = torch.autograd.grad(output, inputs, cotangent)
    expected_gradients = torch.autograd.grad(expected, exact, cotangent.double())
    for actual, reference in zip((output, *gradients), (expected, *expected_gradients), strict=True):
        assert actual.dtype == dtype
        assert relative_error(actual, reference) < TOLERANCE[dtype]


@pytest.mark.parametrize("layout", ["channels_last", "contiguous", "strided"])
def test_input_layout_changes_nothing(layout):
    shape, kernel = (2, 20, 13, 12), (9, 11)
    inputs = make_inputs(shape, kernel, torch.float64, layout)
    output = depthwise_conv(*inputs, padding=(4, 5))
    expected = F.conv2d(*inputs, padding=(4, 5), groups=shape[1])
    # A sum's gradient is an expanded scalar: all strides zero.
    gradients = torch.autograd.grad(output.sum(), inputs)
    expected_gradients = torch.autograd.grad(expected.sum(), inputs)
    assert output.is_contiguous(memory_format=torch.channels_last)
    for actual, reference in zip((output, *gradients), (expected, *expected_gradients), strict=True):
        assert relative_error(actual, reference) < 1e-10


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2, "padding": 2},
        {"dilation": 2, "padding": 3},
        {"padding": 7},
        {"padding": "same"},
        {"padding": "valid"},
        {"stride": (1, 2), "padding": (0, 1)},
    ],
)
@pytest.mark.parametrize("kernel", [(5, 5), (4, 6)])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_every_option_of_torch_is_served(options, kernel):
    inputs = make_inputs((2, 3, 17, 14), kernel, torch.float64)
    output = depthwise_conv(*inputs, **options)
    expected = F.conv2d(*inputs, groups=3, **options)
    assert relative_error(output, expected) < 1e-10
    for actual, reference in zip(
        torch.autograd.grad(output.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    ):
        assert relative_error(actual, reference) < 1e-10


@pytest.mark.parametrize("stride", [1, 2])
def test_wide_bfloat16_kernels_return(stride):
    # oneDNN 3.11.2 never returns from this one in bfloat16 on some processors.
    inputs = make_inputs((1, 16, 5, 40), (3, 23), torch.bfloat16)
    output = depthwise_conv(inputs[0], inputs[1], inputs[2], stride=stride, padding=(1, 11))
    gradients = torch.autograd.grad(output, inputs, torch.ones_like(output))
    exact = [t.detach().float().requires_grad_() for t in inputs]
    expected = F.conv2d(exact[0], exact[1], exact[2], stride=stride, padding=(1, 11), groups=16)
    expected_gradients = torch.autograd.grad(expected, exact, torch.ones_like(expected))
    for actual, reference in zip((output, *gradients), (expected, *expected_gradients), strict=True):
        assert actual.dtype == torch.bfloat16
        assert relative_error(actual, reference) < TOLERANCE[torch.bfloat16]


def test_several_kernels_per_channel_and_unbatched_input():
    x, weight = torch.randn(2, 3, 9, 8), torch.randn(6, 1, 3, 3)
    assert torch.equal(depthwise_conv(x, weight, padding=1), F.conv2d(x, weight, padding=1, groups=3))
    single = depthwise_conv(x[0], weight[:3], padding=1)
    assert relative_error(single, F.conv2d(x[0], weight[:3], padding=1, groups=3)) < 1e-6


def test_an_empty_batch_has_zero_gradients():
    x, weight = torch.randn(0, 3, 9, 8, requires_grad=True), torch.randn(3, 1, 7, 7, requires_grad=True)
    output = depthwise_conv(x, weight, padding=3)
    output.sum().backward()
    assert output.shape == (0, 3, 9, 8)
    assert weight.grad is not None and not weight.grad.any()


def test_gradcheck_and_double_backward():
    inputs = make_inputs((1, 2, 3, 4), (3, 3), torch.float64)
    assert torch.autograd.gradcheck(lambda *t: depthwise_conv(*t, padding=(1, 0)), inputs)
    assert torch.autograd.gradgradcheck(lambda *t: depthwise_conv(*t, padding=(1, 0)), inputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_rounds_the_input_but_not_the_weight_gradient(dtype):
    x, weight, bias = make_inputs((2, 16, 16, 15), (23, 23), torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        output = depthwise_conv(x, weight, bias, padding=11)
    assert output.dtype == dtype
    cotangent = torch.randn(output.shape).to(dtype)
    grad_x, grad_weight, grad_bias = torch.autograd.grad(output, (x, weight, bias), cotangent)
    assert {grad_x.dtype, grad_weight.dtype, grad_bias.dtype} == {torch.float32}
    rounded = x.detach().to(dtype).double()
    exact_weight = weight.detach().double().requires_grad_()
    expected = F.conv2d(rounded, exact_weight, bias.detach().double(), padding=11, groups=16)
    assert relative_error(output, expected) < 2e-2
    (exact_gradient,) = torch.autograd.grad(expected, exact_weight, cotangent.double())
    assert relative_error(grad_weight, exact_gradient) < 1e-5


def test_a_type_mismatch_is_refused_outside_autocast():
    x, weight, _ = make_inputs((1, 2, 5, 5), (3, 3), torch.float32)
    with pytest.raises(ArgumentError, match=r"torch\.bfloat16.*torch\.autocast"):
        depthwise_conv(x.bfloat16(), weight)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 1, 3, 3)), ((1, 3, 8, 8), (3, 3, 3, 3)), ((1, 3, 8, 8), (4, 1, 3, 3))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ArgumentError, match="`weight`"):
        depthwise_conv(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_an_unknown_padding_is_refused():
    with pytest.raises(ArgumentError, match="`padding`"):
        depthwise_conv(torch.zeros(1, 3, 8, 8), torch.zeros(3, 1, 3, 3), padding="full")


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_operators_obey_torchs_rules(layout, dtype):
    shape, kernel = (2, 3, 6, 7), (5, 3)
    x, weight, bias = make_inputs(shape, kernel, dtype, layout)
    padding = [2, 1]
    # bfloat16 gradients of an operator and of its traced form may round apart.
    tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    operators = torch.ops.audio_dcls
    torch.library.opcheck(operators.depthwise_conv2d, (x, weight, bias, padding), test_utils=tests)
    grad = torch.randn(shape, dtype=dtype)
    arguments = (x.detach().requires_grad_(), grad.requires_grad_(), list(kernel), padding)
    torch.library.opcheck(operators.depthwise_conv2d_weight_gradient, arguments, test_utils=tests)


def test_compiles_without_graph_breaks():
    module = DepthwiseConv2d(4, (9, 7), padding=(4, 3))
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 4, 12, 11, requires_grad=True)
    parameters = (x, *module.parameters())
    expected = torch.autograd.grad(module(x).square().sum(), parameters)
    actual = torch.autograd.grad(compiled(x).square().sum(), parameters)
    for a, b in zip(actual, expected, strict=True):
        assert relative_error(a, b) < 1e-5
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert compiled(x).dtype == torch.bfloat16
    with torch.no_grad():
        assert relative_error(compiled(x), module(x)) < 1e-5


def test_an_exported_program_needs_only_torch():
    module = DepthwiseConv2d(4, 7, padding=3).eval()
    x = torch.randn(2, 4, 12, 11)
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
    assert "audio_dcls" not in program.graph_module.code
    assert relative_error(program.module()(x.repeat(3, 1, 1, 1)), module(x.repeat(3, 1, 1, 1))) < 1e-6


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
def test_module_equals_torchs_module(padding_mode):
    ours = DepthwiseConv2d(3, (5, 7), padding=(2, 3), padding_mode=padding_mode)
    theirs = torch.nn.Conv2d(3, 3, (5, 7), padding=(2, 3), groups=3, padding_mode=padding_mode)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 11, 9)
    assert relative_error(ours(x), theirs(x)) < 1e-6
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        assert relative_error(a.grad, b.grad) < 1e-5


def test_module_copies_pickles_and_lives_on_meta():
    module = DepthwiseConv2d(3, 5, padding="same")
    x = torch.randn(1, 3, 8, 8)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(module), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(x), module(x))
    meta = DepthwiseConv2d(3, 5, padding=2, device="meta")
    output = meta(torch.empty(2, 3, 8, 8, device="meta"))
    assert output.shape == (2, 3, 8, 8)
    output.sum().backward()
    assert meta.weight.grad is not None and meta.weight.grad.is_meta


def test_on_the_meta_device_without_gradients():
    layer = DepthwiseConv2d(4, 23, padding=11, device="meta")
    with torch.no_grad():
        assert layer(torch.empty(2, 4, 9, 8, device="meta")).shape == (2, 4, 9, 8)
