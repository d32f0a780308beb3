"""Kernels, outputs and gradients against the authors' library (package `dcls`), and conversion in both directions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from DCLS.construct import modules as library
from torch import Tensor, nn

from audio_dcls.dcls.conv import DclsConv, DclsConv1d, DclsConv2d, DclsConv3d
from audio_dcls.dcls.interpolation import INTERPOLATIONS
from audio_dcls.dcls.kernel import construct_kernel
from audio_dcls.dcls.reference_layout import (
    from_reference_module,
    positions_from_reference,
    spreads_from_reference,
    state_from_reference,
    state_to_reference,
    to_reference_module,
)
from audio_dcls.errors import ArgumentError

# (form, kernel): "bilinear_floor" has no 3-1D form in their library.
SQUARE = [(5,), (6,), (5, 5), (6, 6), (1, 1), (3, 3, 3), (4, 4, 4)]  # and one tap, where nothing can move
NOT_SQUARE = [(5, 7), (7, 5), (4, 7), (8, 3), (1, 6), (3, 4, 5), (5, 2, 3)]
CLASSES: list[type[DclsConv]] = [DclsConv1d, DclsConv2d, DclsConv3d]
# Sums of up to a few hundred products of numbers around 1, in another order than theirs.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Their layers warn on construction that no GPU kernel is installed."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def make_layer(size: tuple[int, ...], form: str, dtype: torch.dtype = torch.float64, **keywords: Any) -> DclsConv:
    """A layer with elements all over its kernel, a few beyond the edge, and various spreads."""
    generator = torch.Generator().manual_seed(sum(size))
    keywords = {"in_channels": 4, "out_channels": 6, "groups": 2, "padding": [t // 2 for t in size]} | keywords
    layer = CLASSES[len(size) - 1](
        kernel_count=5, dilated_kernel_size=size, interpolation=form, dtype=dtype, generator=generator, **keywords
    )
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
        if layer.bias is not None:
            layer.bias.normal_(generator=generator)
        for coordinates, taps in zip(layer.positions, layer.learned_size, strict=True):
            coordinates.uniform_(-0.6 * taps, 0.6 * taps, generator=generator)
        if layer.spreads is not None:
            layer.spreads.normal_(0, 0.5, generator=generator)
    return layer


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """The error relative to the largest entry, or to 1 if all are small, as for a kernel of one tap."""
    assert actual.shape == expected.shape
    return float((actual - expected).detach().abs().max() / expected.detach().abs().max().clamp_min(1))


def gradients(module: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    x = x.clone().requires_grad_()
    y = module(x)
    y.backward(torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape))
    assert x.grad is not None
    return y.detach(), {"x": x.grad} | {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def assert_same(ours: DclsConv, theirs: nn.Module, tolerance: float) -> None:
    """Output and gradients with respect to input, weights, positions, spreads and bias."""
    generator = torch.Generator().manual_seed(0)
    lengths = (9, 8, 10)[: ours.num_axes]
    x = torch.randn(2, ours.in_channels, *lengths, generator=generator, dtype=ours.weight.dtype)
    y, grads = gradients(ours, x)
    expected_y, expected = gradients(theirs, x)
    assert relative_error(y, expected_y) < tolerance
    size, form = [0] * len(ours.learned_size), ours.interpolation  # a gradient has no centre to correct
    expected["positions"] = positions_from_reference(expected.pop("P"), size, form)
    if "SIG" in expected:
        expected["spreads"] = spreads_from_reference(expected.pop("SIG"), form)
    assert grads.keys() == expected.keys()
    for name, gradient in grads.items():
        assert relative_error(gradient, expected[name].reshape(gradient.shape)) < tolerance, name


CASES = [(size, torch.float64) for size in SQUARE + NOT_SQUARE]
CASES += [(size, torch.float32) for size in ((6,), (5, 5), (6, 6), (4, 7), (7, 5), (3, 4, 5))]


@pytest.mark.parametrize("form", list(INTERPOLATIONS))
@pytest.mark.parametrize(("size", "dtype"), CASES, ids=str)
def test_output_and_gradients(size: tuple[int, ...], form: str, dtype: torch.dtype) -> None:
    layer = make_layer(size, form, dtype)
    assert_same(layer, to_reference_module(layer, library), TOLERANCE[dtype])


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_groups_strides_and_padding_modes(groups: int, mode: str) -> None:
    layer = make_layer(
        (5, 5), "gauss", out_channels=4, groups=groups, padding_mode=mode, stride=(2, 1), padding=(1, 2), bias=False
    )
    assert_same(layer, to_reference_module(layer, library), 1e-10)


@pytest.mark.parametrize("form", ["gauss", "triangle", "bilinear"])
def test_learned_along_one_axis_of_three(form: str) -> None:
    layer = make_layer((2, 3, 6), form, dense_axes=(0, 1))
    assert_same(layer, to_reference_module(layer, library), 1e-10)


@pytest.mark.parametrize("form", list(INTERPOLATIONS))
@pytest.mark.parametrize(("size", "dense_axis"), [((1, 6), 0), ((7, 1), 1)])
def test_flat_kernels_of_two_axes(form: str, size: tuple[int, ...], dense_axis: int) -> None:
    layer = make_layer(size, form, dense_axes=(dense_axis,))
    assert_same(layer, to_reference_module(layer, library), 1e-10)


@pytest.mark.parametrize("size", [(5, 9), (9, 5)])
def test_authors_measure_positions_from_the_centre_of_another_axis(size: tuple[int, int]) -> None:
    """An element at 0 is in the middle of our kernel; theirs, at P = 0, is off by the difference of the middles."""
    centre = (size[0] // 2, size[1] // 2)
    ours = construct_kernel(torch.ones(1, 1, 1), torch.zeros(2, 1, 1, 1), None, size, "bilinear")
    assert ours[0, 0].argmax() == centre[0] * size[1] + centre[1]
    theirs = library.Dcls2d(1, 1, 1, dilated_kernel_size=size, version="v1")
    with torch.no_grad():
        theirs.P.zero_()
        theirs.weight.fill_(1)
    kernel = theirs.DCK(theirs.weight, theirs.P, None)[0, 0]
    # P[0] moves along axis 1 but starts from size[0] // 2, and P[1] along axis 0 from size[1] // 2.
    assert kernel.argmax() == centre[1] * size[1] + centre[0]
    imported = from_reference_module(theirs)
    offset = float(centre[0] - centre[1])
    assert imported.positions.flatten().tolist() == [-offset, offset]
    torch.testing.assert_close(imported.dense_kernel()[0, 0], kernel)


@pytest.mark.parametrize("form", list(INTERPOLATIONS))
@pytest.mark.parametrize("size", [(6,), (5, 8), (3, 4, 5)], ids=str)
def test_layout_goes_there_and_back(form: str, size: tuple[int, ...]) -> None:
    layer = make_layer(size, form)
    back = from_reference_module(to_reference_module(layer, library))
    assert repr(back) == repr(layer)
    for name, tensor in layer.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], tensor, rtol=0, atol=1e-12)


def test_state_of_a_model_goes_there_and_back() -> None:
    model = nn.Sequential(make_layer((5, 7), "gauss"), nn.GELU(), nn.Sequential(make_layer((4, 4), "gauss")))
    theirs = state_to_reference(model)
    assert {"0.P", "0.SIG", "2.0.P", "2.0.weight"} <= theirs.keys()
    assert not [name for name in theirs if "positions" in name or "spreads" in name]
    back = state_from_reference(theirs, model)
    assert back.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(back[name], tensor, rtol=0, atol=1e-12)
    del theirs["2.0.P"]
    with pytest.raises(ArgumentError, match=r"2\.0\.P"):
        state_from_reference(theirs, model)


def test_forms_without_a_counterpart_are_named() -> None:
    with pytest.raises(ArgumentError, match="counterpart"):
        to_reference_module(make_layer((3, 4, 5), "gauss", dense_axes=(1,)), library)
    with pytest.raises(ArgumentError, match="Conv2d"):
        from_reference_module(nn.Conv2d(1, 1, 1))
