"""Frozen models are plain convolutions with the same output, and can be unfrozen."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn

from audio_dcls.dcls import DclsConv1d, DclsConv2d, DclsConv3d, freeze, frozen, share_positions, unfreeze
from audio_dcls.dcls.conv import DclsConv


def small_model(**keywords: Any) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    keywords = {"padding": 4, "groups": 6, "generator": generator} | keywords
    layers = [DclsConv2d(6, 6, 5, (9, 9), **keywords) for _ in range(2)]
    share_positions(layers)
    return nn.Sequential(layers[0], nn.GELU(), nn.Sequential(layers[1]), DclsConv2d(6, 3, 2, 3, generator=generator))


@pytest.mark.parametrize(
    "layer",
    [
        DclsConv1d(4, 6, 3, 7, stride=2, padding=3, groups=2),
        DclsConv2d(4, 4, 3, (7, 4), padding="same", groups=4, bias=False),
        DclsConv2d(4, 4, 3, (5, 7), padding=(2, 3), padding_mode="reflect", groups=4),
        DclsConv2d(4, 2, 3, (4, 6), padding="same", padding_mode="circular"),
        DclsConv2d(4, 4, 3, (1, 6), dense_axes=(0,), interpolation="triangle"),
        DclsConv3d(2, 4, 3, (3, 2, 5), dense_axes=(0, 1), interpolation="bilinear"),
    ],
    ids=lambda layer: f"{type(layer).__name__}-{layer.padding}-{layer.padding_mode}",
)
def test_one_layer_becomes_a_plain_convolution(layer: DclsConv) -> None:
    x = torch.randn(2, layer.in_channels, *(9, 10, 11)[: layer.num_axes], generator=torch.Generator().manual_seed(1))
    expected = layer(x)
    conv = freeze(layer)
    assert isinstance(conv, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in conv.parameters())
    assert unfreeze(conv) is layer


def test_a_model_is_frozen_and_unfrozen_in_place() -> None:
    model = small_model()
    state = copy.deepcopy(model.state_dict())
    x = torch.randn(2, 6, 12, 11, generator=torch.Generator().manual_seed(1))
    expected = model(x)
    assert freeze(model) is model
    assert not [module for module in model.modules() if isinstance(module, DclsConv)]
    assert set(model.state_dict()) == {"0.weight", "0.bias", "2.0.weight", "2.0.bias", "3.weight", "3.bias"}
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-6)
    assert unfreeze(model) is model
    assert model[0].positions is model[2][0].positions
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in state.items())
    torch.testing.assert_close(model(x), expected)


def test_a_block_freezes_and_unfreezes_even_when_it_fails() -> None:
    model = small_model()
    with frozen(model) as same:
        assert same is model
        assert type(model[3]) is nn.Conv2d
    assert type(model[3]) is DclsConv2d
    with pytest.raises(ZeroDivisionError), frozen(model):
        raise ZeroDivisionError
    assert type(model[3]) is DclsConv2d


def test_frozen_models_are_copied_pickled_moved_and_thawed() -> None:
    model = freeze(small_model())
    x = torch.randn(1, 6, 9, 9)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        torch.testing.assert_close(twin(x), model(x))
        double = unfreeze(twin.double())
        assert double[0].positions is double[2][0].positions
        assert {parameter.dtype for parameter in double.parameters()} == {torch.float64}
        torch.testing.assert_close(double(x.double()).float(), model(x), rtol=0, atol=1e-6)


def test_one_layer_in_two_places_stays_one() -> None:
    layer = DclsConv2d(3, 3, 2, 3, padding=1)
    model = freeze(nn.Sequential(layer, layer))
    assert model[0] is model[1]
    assert unfreeze(model)[1] is layer


def test_discrete_kernels_have_each_element_on_one_tap() -> None:
    layer = DclsConv2d(2, 2, 3, (5, 7), groups=2)
    with torch.no_grad():
        layer.positions.copy_(torch.tensor([-1.4, 0.2, 1.6])[None, None, None])
    kernel = freeze(nn.Sequential(layer), discrete=True)[0].weight
    assert int((kernel != 0).sum()) == 2 * 3
    torch.testing.assert_close(kernel[:, 0, [1, 2, 4], [2, 3, 5]], layer.weight[:, 0])
