"""The stem that all backbones share: one convolution over patches of a spectrogram.

Axes: B batch, M mels, F frames, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH_SIZE = (2, 16)
"""Mels and frames of a patch (recipe of arXiv 2309.13972): a 10 s clip becomes 64 x 62 patches."""

WEIGHT_STD = 0.02


class PatchStem(nn.Conv2d):
    """Convolution whose stride is its kernel: each patch of 2 mels by 16 frames becomes one vector of channels.

    Patches do not overlap, so the convolution is one matrix product over flattened patches, and its result is in
    channels_last order. Frames and mels that do not fill a patch are left out.

    Args:
        out_channels: channels of the first stage.
        bias: True to add a constant to each channel.

    Shape:
        (B, 1, M, F) -> (B, C, M // 2, F // 16).

    >>> PatchStem(96, bias=True)(torch.zeros(1, 1, 128, 1001)).shape
    torch.Size([1, 96, 64, 62])
    """

    def __init__(self, out_channels: int, *, bias: bool) -> None:
        super().__init__(1, out_channels, kernel_size=PATCH_SIZE, stride=PATCH_SIZE, bias=bias)
        nn.init.trunc_normal_(self.weight, std=WEIGHT_STD)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Project every patch."""
        num_clips, _, num_mels, num_frames = input.shape
        height, width = PATCH_SIZE
        rows, columns = num_mels // height, num_frames // width
        patches = input[:, 0, : rows * height, : columns * width].reshape(num_clips, rows, height, columns, width)
        vectors = patches.transpose(2, 3).reshape(num_clips, rows, columns, height * width)
        return F.linear(vectors, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def to_channels_last(backbone: nn.Module) -> None:
    """Put the weights of plain convolutions into channels_last order, the order of the maps after the stem.

    `Module.to(memory_format=...)` is not used: it would also reorder the four axes of DCLS positions.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
