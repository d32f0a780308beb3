"""Operations of a forward pass, with and without products with padding.

A multiplication and an addition count as two. Axes: N batch, C channels, H W rows and columns of a map.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from audio_dcls.dcls.freezing import freeze
from audio_dcls.dcls.swap.rule import is_depthwise
from audio_dcls.speed.peers import use_torch_convolutions


def count_gflops(model: nn.Module, input_shape: tuple[int, ...]) -> tuple[float, float]:
    """Operations of a forward pass in billions: nominal, and without products with padding.

    The nominal number is that of `torch.utils.flop_counter` with dense kernels, as in papers. The second number leaves
    out the products of depthwise convolutions outside the map: a 23x23 kernel on an 8x7 map is mostly outside. A copy
    of the model is frozen and run on the meta device.

    >>> count_gflops(nn.Conv2d(4, 4, 3, padding=1, groups=4), (1, 4, 2, 2))
    (2.88e-07, 1.28e-07)
    """
    twin = freeze(copy.deepcopy(model)).to("meta").eval()
    saved = 0

    def subtract(module: Any, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal saved
        saved += _num_outside_products(module, args[0], output)

    use_torch_convolutions(twin)  # these count whole kernels; our operator crops them
    for module in twin.modules():
        if type(module) is nn.Conv2d and is_depthwise(module) and module.padding_mode == "zeros":
            module.register_forward_hook(subtract)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(torch.empty(input_shape, device="meta"))
    total = counter.get_total_flops()
    return total / 1e9, (total - 2 * saved) / 1e9


def _num_outside_products(conv: nn.Conv2d, x: torch.Tensor, y: torch.Tensor) -> int:
    inside = [_num_inside(conv, axis, x.shape[2 + axis], y.shape[2 + axis]) for axis in range(2)]
    every = [conv.kernel_size[axis] * y.shape[2 + axis] for axis in range(2)]
    return x.shape[0] * x.shape[1] * (every[0] * every[1] - inside[0] * inside[1])


def _num_inside(conv: nn.Conv2d, axis: int, size: int, out_size: int) -> int:
    """The number of pairs of output place and tap, along one axis, that meet the map."""
    pad = conv.padding[axis]
    first = conv.kernel_size[axis] // 2 if isinstance(pad, str) else pad
    if conv.padding == "valid":
        first = 0
    step, spacing = conv.stride[axis], conv.dilation[axis]
    places = (step * b + spacing * j - first for b in range(out_size) for j in range(conv.kernel_size[axis]))
    return sum(0 <= place < size for place in places)
