"""Transposed convolutions with learned element positions: DclsConvTranspose1d, 2d, 3d.

Axis legend: B batch, I input channels, O output channels of a group, K elements, M learned axes, S_a taps of axis a,
T_a input length along axis a, D.. dense axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from audio_dcls.dcls.arguments import Size, per_axis
from audio_dcls.dcls.conv import DclsConv
from audio_dcls.errors import ArgumentError


class DclsConvTranspose(DclsConv):
    """`torch.nn.ConvTranspose1d`, `2d` or `3d` with a DCLS kernel; use one of the three subclasses.

    An element at position p adds to the output p taps after its input.

    Args:
        *args: as in `DclsConv`; the padding must be in taps and its mode "zeros".
        output_padding: taps added to the far side of the output; below the stride.
        **keywords: as in `DclsConv`.

    Attributes:
        weight: (in_channels, O, D.., K).
        positions: (M, in_channels, O, D.., K), in taps from the centre `size // 2`.
        spreads: (M, in_channels, O, D.., K) in taps, or None for the bilinear forms.
        bias: (out_channels,) or None.

    Shape:
        (B, in_channels, T_0, ..) -> (B, out_channels, (T_0 - 1) stride - 2 padding + S_0 + output_padding, ..)

    Raises:
        ArgumentError: an argument breaks its rule.

    >>> import torch
    >>> layer = DclsConvTranspose1d(4, 2, kernel_count=3, dilated_kernel_size=7, stride=2, padding=3, output_padding=1)
    >>> tuple(layer(torch.zeros(1, 4, 10)).shape)
    (1, 2, 20)
    """

    def __init__(self, *args: Any, output_padding: Size = 0, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.output_padding = per_axis("output_padding", output_padding, self.num_axes, 0)
        if isinstance(self.padding, str) or self.padding_mode != "zeros":
            raise ArgumentError(
                f"`padding` (={self.padding!r}) must be in taps and `padding_mode` (={self.padding_mode!r}) 'zeros'"
            )
        if any(taps >= stride for taps, stride in zip(self.output_padding, self.stride, strict=True) if taps):
            raise ArgumentError(f"`output_padding` (={self.output_padding}) must be below `stride` (={self.stride})")

    def _kernel_channels(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels // self.groups

    def forward(self, x: Tensor) -> Tensor:
        """Apply the convolution; the class documents the shapes."""
        convolve: Callable[..., Tensor] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[
            self.num_axes - 1
        ]
        kernel = self.dense_kernel()
        return convolve(x, kernel, self.bias, self.stride, self.padding, self.output_padding, self.groups)


class DclsConvTranspose1d(DclsConvTranspose):
    """`DclsConvTranspose` over one axis."""

    num_axes = 1


class DclsConvTranspose2d(DclsConvTranspose):
    """`DclsConvTranspose` over two axes."""

    num_axes = 2


class DclsConvTranspose3d(DclsConvTranspose):
    """`DclsConvTranspose` over three axes."""

    num_axes = 3
