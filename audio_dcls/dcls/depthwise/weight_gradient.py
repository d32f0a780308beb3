"""The depthwise weight gradient, by the exact method that suits device, type and shape.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.
"""

from __future__ import annotations

import functools
from typing import Literal, get_args

import torch
import torch.nn.functional as F

from audio_dcls.dcls.depthwise import thresholds
from audio_dcls.dcls.depthwise.compiled import compiled_is_worth_it, weight_gradient_compiled
from audio_dcls.dcls.depthwise.fft import weight_gradient_fft
from audio_dcls.dcls.depthwise.tuning import fastest_method, is_installed
from audio_dcls.errors import ArgumentError

_Method = Literal["torch", "fft", "gemm", "compiled", "triton"]


def num_outside_taps(size: int, taps: int, padding: int) -> int:
    """Taps at each end of a kernel's axis that only meet padding, at stride 1; `size` is the map's along this axis.

    >>> num_outside_taps(7, 23, 11), num_outside_taps(64, 23, 11)
    (5, 0)
    """
    out_size = size + 2 * padding - taps + 1
    return max(0, min(padding - out_size + 1, taps - padding - size))


def choose_method(x: torch.Tensor, kernel_size: tuple[int, int]) -> _Method:
    """The fastest method on a CPU for an input (N, C, H, W) and an (already cropped) kernel.

    Generated code is the fastest where it applies (`compiled`; it needs llvmlite). Otherwise it is torch for small
    kernels, matrix products for narrow maps, and Fourier transforms for wide maps.

    >>> choose_method(torch.zeros(1, 1, 64, 62, dtype=torch.float64), (23, 23))
    'fft'
    """
    num_taps = kernel_size[0] * kernel_size[1]
    if num_taps >= thresholds.GRADIENT_COMPILED_MIN_TAPS and compiled_is_worth_it(x, kernel_size):
        return "compiled"
    if num_taps <= thresholds.GRADIENT_TORCH_MAX_TAPS and kernel_size[1] <= thresholds.GRADIENT_TORCH_MAX_COLUMNS:
        return "torch"
    return "gemm" if x.shape[3] <= thresholds.GRADIENT_GEMM_MAX_WIDTH else "fft"


def weight_gradient(
    x: torch.Tensor,
    grad: torch.Tensor,
    kernel_size: tuple[int, int],
    padding: tuple[int, int],
    method: _Method | None = None,
) -> torch.Tensor:
    r"""Gradient of a stride-1 depthwise convolution with respect to its weight.

    .. math:: \partial w[c, i, j] = \sum_{n, a, b} \partial y[n, c, a, b] \, x[n, c, a + i - p_h, b + j - p_w]

    Taps that only meet padding are left out of the computation: their gradient is zero. `x` (N, C, H, W) and the
    gradient of the output, (N, C, A, B), have the same type; the result (C, 1, I, J) is float64 for float64, else
    float32. The method is chosen as in `forward.convolve`.

    >>> x = torch.ones(1, 2, 4, 4)
    >>> weight_gradient(x, x, (3, 3), (1, 1))[0, 0].tolist()[0]
    [9.0, 12.0, 9.0]
    """
    cut_h = num_outside_taps(x.shape[2], kernel_size[0], padding[0])
    cut_w = num_outside_taps(x.shape[3], kernel_size[1], padding[1])
    kernel_size = (kernel_size[0] - 2 * cut_h, kernel_size[1] - 2 * cut_w)
    padding = (padding[0] - cut_h, padding[1] - cut_w)
    if method is None and x.is_cuda and x.numel():
        method = _choose_on_cuda(x, grad, kernel_size, padding)
    result = _compute(x, grad, kernel_size, padding, method or choose_method(x, kernel_size))
    return F.pad(result, (cut_w, cut_w, cut_h, cut_h)) if cut_h or cut_w else result


def _choose_on_cuda(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: tuple[int, int], padding: tuple[int, int]
) -> _Method:
    names: list[_Method] = ["torch", "fft", "gemm"]
    if is_installed("triton") and x.dtype != torch.float64:
        names.append("triton")
    methods = {name: functools.partial(_compute, x, grad, kernel_size, padding, name) for name in names}
    device, strides = torch.cuda.get_device_name(x.device), (x.stride(), grad.stride())
    key = ("gradient", device, x.dtype, x.shape, strides, kernel_size, padding)
    return names[list[str](methods).index(fastest_method(key, methods))]


def _compute(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: tuple[int, int], padding: tuple[int, int], method: _Method
) -> torch.Tensor:
    if method == "torch":
        return _weight_gradient_torch(x, grad, kernel_size, padding)
    if method == "compiled":
        return weight_gradient_compiled(x, grad, kernel_size, padding)
    if method == "triton":
        # Triton is missing on most machines
        from audio_dcls.dcls.depthwise.triton import weight_gradient_triton

        return weight_gradient_triton(x, grad, kernel_size, padding)
    if x.dtype in (torch.bfloat16, torch.float16):
        x, grad = x.float(), grad.float()
    if method == "fft":
        return weight_gradient_fft(x, grad, kernel_size, padding)
    if method == "gemm":
        return _weight_gradient_gemm(x, grad, kernel_size, padding)
    raise ArgumentError(f"`method` (={method!r}) must be one of {get_args(_Method)}")


def _weight_gradient_torch(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: tuple[int, int], padding: tuple[int, int]
) -> torch.Tensor:
    """The gradient that autograd computes for `torch.nn.functional.conv2d`."""
    weight = x.new_empty((x.shape[1], 1, *kernel_size))
    _, result, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [1, 1], list(padding), [1, 1], False, [0, 0], x.shape[1], [False, True, False]
    )
    return result.to(torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else x.dtype).contiguous()


def _weight_gradient_gemm(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: tuple[int, int], padding: tuple[int, int]
) -> torch.Tensor:
    """Compute the gradient by one batched matrix product per row of taps and sums along diagonals.

    Tap row `i` pairs output row `a` with input row `a + i - padding`. One product over batch and rows,
    `M[b, v] = sum_{n, a} grad[n, a, b] x[n, a + i - padding, v]`, holds every pair of columns; tap `j` is the sum of
    its diagonal `v - b = j - padding`.

    >>> ones = torch.ones(2, 3, 4, 5)
    >>> _weight_gradient_gemm(ones, ones, (1, 1), (0, 0)).flatten().tolist()
    [40.0, 40.0, 40.0]
    """
    num_batch, num_channels, height, width = x.shape
    out_height, out_width = grad.shape[2:]
    (pad_h, pad_w), (taps_h, taps_w) = padding, kernel_size
    # The axis of rows comes before the batch, so that the rows for one row of taps are one slice.
    padded_width = width + 2 * pad_w
    x_rows = x.new_zeros((num_channels, height, num_batch, padded_width))
    x_rows[..., pad_w : pad_w + width] = x.permute(1, 2, 0, 3)
    grad_rows = grad.permute(1, 2, 0, 3).contiguous()
    result = x.new_zeros((num_channels, 1, *kernel_size))
    for i in range(taps_h):
        first, last = max(0, pad_h - i), min(out_height, height + pad_h - i)
        if first >= last:
            continue
        x_block = x_rows[:, first + i - pad_h : last + i - pad_h].flatten(1, 2)
        grad_block = grad_rows[:, first:last].flatten(1, 2)
        pairs = torch.bmm(grad_block.transpose(1, 2), x_block)
        diagonals = pairs.as_strided(
            (num_channels, out_width, taps_w), (out_width * padded_width, padded_width + 1, 1), pairs.storage_offset()
        )
        torch.sum(diagonals, 1, out=result[:, 0, i])
    return result
