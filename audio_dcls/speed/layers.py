"""Single depthwise convolutions on the maps of a model: ours against torch's.

Axes: B batch, C channels, H W rows and columns of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.depthwise.forward import convolve, hangs_in_low_precision
from audio_dcls.dcls.depthwise.weight_gradient import weight_gradient
from audio_dcls.speed.machine import DTYPES
from audio_dcls.speed.peers import INPUT_SHAPE, build_peer
from audio_dcls.speed.report import Case, Contender, ratios_of
from audio_dcls.speed.settings import BenchSettings
from audio_dcls.speed.timing import time_interleaved

_PASSES = ("forward", "input gradient", "weight gradient")
_KERNEL_SIZES = (23, 7)
_SAMPLE_MS = 20.0
_HANGS = "torch bf16: not measured, it may never return on a CPU for a kernel this wide"


def measure_layers(
    settings: BenchSettings, model_name: str, batch: int, device: torch.device, progress: Callable[[str], object]
) -> list[Case]:
    """Measure forward pass, input and weight gradient of 23x23 and 7x7, on each map of the model's DCLS layers."""
    return [
        _measure(settings, (batch, *map_shape), taps, which, device, progress)
        for map_shape in _find_maps(model_name)
        for taps in _KERNEL_SIZES
        for which in _PASSES
    ]


def _find_maps(model_name: str) -> list[tuple[int, int, int]]:
    """The distinct inputs (C, H, W) of a model's DCLS layers for the paper's spectrogram.

    >>> _find_maps("convnext_tiny")
    [(96, 64, 62), (192, 32, 31), (384, 16, 15), (768, 8, 7)]
    """
    model = build_peer("dcls", model_name).to("meta").eval()
    maps: dict[tuple[int, int, int], None] = {}

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        maps[(args[0].shape[1], args[0].shape[2], args[0].shape[3])] = None

    for module in model.modules():
        if isinstance(module, DclsConv):
            module.register_forward_pre_hook(note)
    with torch.no_grad():
        model(torch.empty(1, *INPUT_SHAPE, device="meta"))
    return list(maps)


def _measure(
    settings: BenchSettings,
    shape: tuple[int, int, int, int],
    taps: int,
    which: str,
    device: torch.device,
    progress: Callable[[str], object],
) -> Case:
    calls: dict[str, Callable[[], object]] = {}
    notes: list[str] = []
    for precision in settings.precisions:
        x, grad, weight = _tensors(shape, taps, DTYPES[precision], device)
        calls[f"ours {precision}"] = _our_call(which, x, grad, weight)
        if hangs_in_low_precision(x, weight):
            notes.append(_HANGS)
        else:
            calls[f"torch {precision}"] = _torch_call(which, x, grad, weight)
    subject = f"{which}, {taps}x{taps}, {shape[1]} channels of {shape[2]}x{shape[3]}"
    progress(f"layer: {subject}")
    times_ms = time_interleaved(calls, settings.num_rounds, device, num_warmups=2, min_sample_ms=_SAMPLE_MS)
    contenders = tuple(Contender(name, tuple(values)) for name, values in times_ms.items())
    ratios = ratios_of(contenders, [(f"torch {p}", f"ours {p}") for p in settings.precisions])
    return Case("layer", subject, shape[0], "ms", contenders, ratios, tuple(notes))


def _tensors(
    shape: tuple[int, int, int, int], taps: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input, gradient of the output, and weight; maps are in channels_last, as in the model."""
    generator = torch.Generator().manual_seed(taps)
    x, grad = (torch.randn(shape, generator=generator).to(device, dtype) for _ in range(2))
    weight = torch.randn(shape[1], 1, taps, taps, generator=generator).to(device, dtype)
    layout = torch.channels_last
    return x.contiguous(memory_format=layout), grad.contiguous(memory_format=layout), weight


def _our_call(which: str, x: torch.Tensor, grad: torch.Tensor, weight: torch.Tensor) -> Callable[[], object]:
    taps = weight.shape[-1]
    padding = (taps // 2, taps // 2)
    if which == "forward":
        return lambda: convolve(x, weight, None, padding)
    if which == "input gradient":
        return lambda: convolve(grad, weight.flip(2, 3), None, (taps - 1 - padding[0], taps - 1 - padding[1]))
    return lambda: weight_gradient(x, grad, (taps, taps), padding)


def _torch_call(which: str, x: torch.Tensor, grad: torch.Tensor, weight: torch.Tensor) -> Callable[[], object]:
    taps, channels = weight.shape[-1], x.shape[1]
    padding = [taps // 2, taps // 2]
    if which == "forward":
        return lambda: F.conv2d(x, weight, None, 1, padding, 1, channels)
    mask = [which == "input gradient", which == "weight gradient", False]
    return lambda: torch.ops.aten.convolution_backward(
        grad, x, weight, None, [1, 1], padding, [1, 1], False, [0, 0], channels, mask
    )
