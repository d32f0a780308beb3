"""Transposed layers are adjoint to the layer with the same kernel, and freeze into torch's layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from audio_dcls.dcls import (
    DclsConv1d,
    DclsConvTranspose1d,
    DclsConvTranspose2d,
    DclsConvTranspose3d,
    freeze,
    unfreeze,
)
from audio_dcls.dcls.conv_transpose import DclsConvTranspose
from audio_dcls.errors import ArgumentError

CLASSES: list[type[DclsConvTranspose]] = [DclsConvTranspose1d, DclsConvTranspose2d, DclsConvTranspose3d]
PLAIN = [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]


@pytest.mark.parametrize("num_axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_transposed_layers_are_torchs_with_their_kernel(num_axes: int, groups: int) -> None:
    size = (5, 4, 3)[:num_axes]
    layer = CLASSES[num_axes - 1](4, 8, 3, size, 2, 1, groups, output_padding=1, dtype=torch.float64)
    x = torch.randn(2, 4, *(6, 5, 4)[:num_axes], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = layer(x)
    y.sum().backward()
    assert layer.weight.shape == (4, 8 // groups, 3)
    assert layer.positions.grad is not None and layer.positions.grad.abs().sum() > 0
    conv = freeze(layer)
    assert isinstance(conv, PLAIN[num_axes - 1])
    torch.testing.assert_close(conv(x), y, rtol=0, atol=1e-12)
    assert unfreeze(conv) is layer


def test_transposed_layer_is_the_adjoint() -> None:
    """<conv(x), y> = <x, transposed(y)> for the same elements."""
    forward = DclsConv1d(4, 6, 3, 7, padding=3, groups=2, bias=False, dtype=torch.float64)
    backward = DclsConvTranspose1d(6, 4, 3, 7, padding=3, groups=2, bias=False, dtype=torch.float64)
    backward.load_state_dict(forward.state_dict())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 20, dtype=torch.float64, generator=generator)
    y = torch.randn(1, 6, 20, dtype=torch.float64, generator=generator)
    torch.testing.assert_close((forward(x) * y).sum(), (x * backward(y)).sum())


def test_what_transposed_layers_cannot_do() -> None:
    with pytest.raises(ArgumentError, match="zeros"):
        DclsConvTranspose1d(2, 2, 1, 3, padding_mode="circular")
    with pytest.raises(ArgumentError, match="output_padding"):
        DclsConvTranspose1d(2, 2, 1, 3, stride=2, output_padding=2)
