"""Stride-1 depthwise convolution by generated code, torch, FFT or Triton, chosen by device, type and shape.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F

from audio_dcls.dcls.depthwise import thresholds
from audio_dcls.dcls.depthwise.compiled import compiled_is_worth_it, convolve_compiled
from audio_dcls.dcls.depthwise.fft import convolve_fft
from audio_dcls.dcls.depthwise.tuning import fastest_method, is_installed
from audio_dcls.dcls.depthwise.weight_gradient import num_outside_taps
from audio_dcls.dcls.kernel import full_precision
from audio_dcls.errors import ArgumentError

_Method = Literal["torch", "compiled", "fft", "triton"]


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: Sequence[int],
    method: _Method | None = None,
) -> torch.Tensor:
    """Depthwise convolution without the taps that only meet padding; its sums are at least as exact as torch's.

    `x` is (N, C, H, W), `weight` (C, 1, I, J) of any floating type, `bias` (C,) and the result (N, C, A, B) of the type
    of `x`. The padding is the zeros on each side of each axis, less than the kernel's size. Without a `method` it is
    chosen by rule on the CPU, and by measurement on CUDA; an unknown one is refused by an `ArgumentError`.

    >>> convolve(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3), None, (1, 1))[0, 0, 0].tolist()
    [4.0, 6.0, 6.0, 4.0]
    """
    cut_h, cut_w = (num_outside_taps(x.shape[2 + d], weight.shape[2 + d], padding[d]) for d in range(2))
    weight = weight[:, :, cut_h : weight.shape[2] - cut_h, cut_w : weight.shape[3] - cut_w]
    pads = (padding[0] - cut_h, padding[1] - cut_w)
    with full_precision(x.device):
        return _compute(x, weight, bias, pads, method or _choose(x, weight, bias, pads))


def _choose(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: tuple[int, int]) -> _Method:
    """Choose generated code on the CPU if it is worth it; on CUDA, measure the methods."""
    kernel_size = (weight.shape[2], weight.shape[3])
    if kernel_size[0] * kernel_size[1] >= thresholds.FORWARD_COMPILED_MIN_TAPS and compiled_is_worth_it(x, kernel_size):
        return "compiled"
    if not x.is_cuda or x.numel() == 0:
        return "torch"
    names: list[_Method] = ["torch", "fft"]
    if is_installed("triton") and x.dtype != torch.float64:
        names.append("triton")
    methods = {name: functools.partial(_compute, x, weight, bias, padding, name) for name in names}
    key = ("convolve", torch.cuda.get_device_name(x.device), x.dtype, x.shape, x.stride(), weight.shape, padding)
    return names[list[str](methods).index(fastest_method(key, methods))]


def _compute(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: tuple[int, int],
    method: _Method,
) -> torch.Tensor:
    if method == "torch":
        dtype = torch.float32 if hangs_in_low_precision(x, weight) else x.dtype
        bias = None if bias is None else bias.to(dtype)
        return F.conv2d(x.to(dtype), weight.to(dtype), bias, 1, padding, 1, x.shape[1]).to(x.dtype)
    if method == "compiled":
        return convolve_compiled(x, weight, bias, padding)
    if method == "fft":
        return convolve_fft(x, weight, bias, padding)
    if method == "triton":
        # Triton is missing on most machines
        from audio_dcls.dcls.depthwise.triton import convolve_triton

        return convolve_triton(x, weight, bias, padding).to(x.dtype)
    raise ArgumentError(f"`method` (={method!r}) must be one of {get_args(_Method)}")


def hangs_in_low_precision(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """True if oneDNN might never return from this bfloat16 or float16 convolution on a CPU.

    Observed with oneDNN 3.11.2 (torch 2.12.1) on an AVX-512 bfloat16 CPU: channels_last, maps of 31 or more columns,
    kernels of 15 or more columns. Where bfloat16 returns, float32 takes as long.

    >>> hangs_in_low_precision(torch.zeros(1, 1, 64, 62).bfloat16(), torch.zeros(1, 1, 23, 23))
    True
    """
    wide = weight.shape[3] > thresholds.LOW_PRECISION_MAX_TAPS and x.shape[3] > thresholds.LOW_PRECISION_MAX_WIDTH
    return wide and x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16)
