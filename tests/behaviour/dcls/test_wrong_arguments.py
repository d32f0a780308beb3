"""Errors name a wrong argument with its value; no other exception is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from audio_dcls.dcls import DclsConv1d, DclsConv2d, fit_kernels, freeze, parameter_groups, plan_swap
from audio_dcls.errors import ArgumentError, ModelError


def layer(**options: Any) -> DclsConv2d:
    return DclsConv2d(**{"in_channels": 4, "out_channels": 4, "kernel_count": 3, "dilated_kernel_size": 7} | options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel_count", 2.5), ("kernel_count", "3"), ("kernel_count", True), ("kernel_count", 0),
        ("in_channels", 4.0), ("out_channels", None), ("groups", "1"),
        ("dilated_kernel_size", 7.0), ("dilated_kernel_size", None), ("dilated_kernel_size", "7"),
        ("dilated_kernel_size", (7,)), ("dilated_kernel_size", (7, 7.5)), ("stride", "1"), ("stride", 0),
        ("padding", 1.5), ("padding", "full"), ("padding", -1), ("dense_axes", 0), ("dense_axes", "0"),
        ("dense_axes", (2,)), ("dtype", torch.int64), ("dtype", torch.complex64), ("generator", 0),
        ("interpolation", "sinc"), ("padding_mode", "wrap"),
    ],
)  # fmt: skip
def test_a_layers_argument_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        layer(**{name: value})
    assert f"`{name}` (={value!r})" in str(caught.value) and " must be " in str(caught.value)


def test_integers_of_numpy_are_integers() -> None:
    sizes: Any = np.array([5, 7])
    assert layer(kernel_count=np.int64(2), dilated_kernel_size=sizes).dilated_kernel_size == (5, 7)


@pytest.mark.parametrize(("theirs", "ours"), [("max", "triangle"), ("v1", "bilinear"), ("v0", "bilinear_floor")])
def test_the_authors_names_are_translated(theirs: str, ours: str) -> None:
    with pytest.raises(ArgumentError, match=f"authors' '{theirs}' is '{ours}' here"):
        layer(interpolation=theirs)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_valid_padding_is_none(mode: str) -> None:
    valid, x = layer(padding="valid", padding_mode=mode), torch.randn(2, 4, 9, 10)
    torch.testing.assert_close(valid(x), F.conv2d(x, valid.dense_kernel(), valid.bias))


@pytest.mark.parametrize("groups", [1, 4])
def test_a_map_smaller_than_the_kernel_is_refused(groups: int) -> None:
    expected = r"`x` \(with maps of \(5, 20\) and padding \(0, 0\)\).*kernel \(7, 7\)"
    with pytest.raises(ArgumentError, match=expected):
        layer(groups=groups)(torch.zeros(1, 4, 5, 20))


@pytest.mark.parametrize("groups", [1, 4])
def test_an_array_is_refused(groups: int) -> None:
    array: Any = np.zeros((1, 4, 9, 9))
    with pytest.raises(ArgumentError, match=r"`x` \(a ndarray\) must be a torch.Tensor"):
        layer(groups=groups)(array)


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 4, 7, padding=3, groups=4), nn.ReLU())


def one(*arguments: Any, function: Callable[..., Any] = plan_swap, **options: Any) -> Callable[[], Any]:
    return lambda: function(*arguments, **options)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (one(model(), None), r"`rule` \(=None\)"),
        (one(model(), lambda name: True), r"function of \(name, module\): it cannot be called"),
        (one("convnext_tiny"), r"`model` \(='convnext_tiny'\) must be a torch.nn.Module"),
        (one(model(), dilated_kernel_size="23"), r"`dilated_kernel_size` \(='23'\).*layer '0'"),
        (one(model(), kernel_count=2.5), r"`kernel_count` \(=2.5\)"),
        (one(None, function=freeze), r"`model` \(=None\) must be a torch.nn.Module"),
        (one(model(), function=parameter_groups, rate="1e-3"), r"`rate` \(='1e-3'\) must be a number above 0"),
        (one(model(), function=parameter_groups, rate=-1.0), r"`rate` \(=-1.0\)"),
        (one(model(), function=parameter_groups, rate=1, position_rate_factor=-1), r"`position_rate_factor` \(=-1\)"),
        (one([DclsConv1d(1, 1, 2, 9)], [torch.full((1, 1, 3), torch.nan)], function=fit_kernels), "must be finite"),
    ],
)
def test_a_functions_argument_is_named_with_its_value(call: Callable[[], Any], expected: str) -> None:
    with pytest.raises(ArgumentError, match=expected):
        call()


def test_a_rule_that_matches_nothing_says_what_there_is() -> None:
    with pytest.raises(ModelError, match=r"`rule` \(='every'\) matches no layer.*no plain convolution$"):
        plan_swap(nn.Linear(2, 2), "every")
    swapped = model()
    plan_swap(swapped, dilated_kernel_size=11, kernel_count=4).apply(swapped)
    with pytest.raises(ModelError, match=r"no plain convolution, 1 that are DCLS already$"):
        plan_swap(swapped)
    with pytest.raises(ModelError, match=r"1 of a class that cannot be swapped"):
        plan_swap(nn.Sequential(nn.ConvTranspose2d(2, 2, 3)), "every")
    with pytest.raises(ModelError, match=r"1 plain convolutions; try 'depthwise', 'every'"):
        plan_swap(nn.Sequential(nn.Conv2d(2, 2, 3)))
    with pytest.raises(ModelError, match="the model itself is a Linear, which cannot be swapped"):
        plan_swap(nn.Linear(2, 2), lambda name, module: True)


def test_a_plan_reads_as_a_table() -> None:
    text = str(plan_swap(model(), dilated_kernel_size=11, kernel_count=5))
    assert text.splitlines()[0] == "0  4  7x7 -> 11x11  group -  200 -> 104  (depthwise 7x7 of stride 1)"
    assert "5 elements, gauss, shared by width; nothing is changed yet" in text
