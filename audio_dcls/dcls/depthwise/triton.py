"""Depthwise convolution and its weight gradient as Triton kernels, for CUDA devices.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.

Import this module only if Triton is installed. With TRITON_INTERPRET=1 in the environment the kernels run on the CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_MAX_TILE = 64
"""Most columns of the output per program of the weight gradient."""


@triton.jit
def _convolve_kernel(
    x, weight, result, num_channels, x_rows, x_width, out_rows, out_width, pad_rows, pad_columns,
    x_batch, x_channel, x_row, x_column, out_batch, out_channel, out_row, out_column,
    TAPS_H: tl.constexpr, TAPS_W: tl.constexpr, TILE_H: tl.constexpr, TILE_W: tl.constexpr,
):  # fmt: skip
    """One tile of one channel of one clip, one tap after the other."""
    clip = (tl.program_id(0) // num_channels).to(tl.int64)
    channel = (tl.program_id(0) % num_channels).to(tl.int64)
    rows = tl.program_id(1) * TILE_H + tl.arange(0, TILE_H)
    columns = tl.program_id(2) * TILE_W + tl.arange(0, TILE_W)
    x += clip * x_batch + channel * x_channel
    weight += channel * TAPS_H * TAPS_W
    total = tl.zeros((TILE_H, TILE_W), dtype=tl.float32)
    for i in range(TAPS_H):
        h = rows + i - pad_rows
        row_is_inside = (h >= 0) & (h < x_rows)
        for j in range(TAPS_W):
            v = columns + j - pad_columns
            is_inside = row_is_inside[:, None] & ((v >= 0) & (v < x_width))[None, :]
            pixels = tl.load(x + h[:, None] * x_row + v[None, :] * x_column, mask=is_inside, other=0.0)
            total += pixels.to(tl.float32) * tl.load(weight + i * TAPS_W + j).to(tl.float32)
    result += clip * out_batch + channel * out_channel
    is_inside = (rows < out_rows)[:, None] & (columns < out_width)[None, :]
    target = result + rows[:, None] * out_row + columns[None, :] * out_column
    tl.store(target, total.to(result.dtype.element_ty), mask=is_inside)


@triton.jit
def _weight_gradient_kernel(
    x, grad, result, num_rows, num_channels, x_rows, x_width, grad_rows, grad_width, pad_rows, pad_columns,
    x_batch, x_channel, x_row, x_column, grad_batch, grad_channel, grad_row, grad_column,
    TAPS_H: tl.constexpr, TAPS_W: tl.constexpr, TILE: tl.constexpr, SPAN: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """One row of taps of one channel: products of a tile's columns with the input, then sums of diagonals."""
    channel, tap, tile = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    b = tile * TILE + tl.arange(0, TILE)
    v = tile * TILE - pad_columns + tl.arange(0, SPAN)
    x += channel * x_channel
    grad += channel * grad_channel
    pairs = tl.zeros((TILE, SPAN), dtype=tl.float32)
    for first in range(0, num_rows, DEPTH):
        row = first + tl.arange(0, DEPTH)
        clip, a = (row // grad_rows).to(tl.int64), row % grad_rows
        h = a + tap - pad_rows
        is_inside = (row < num_rows) & (h >= 0) & (h < x_rows)
        grad_address = grad + (clip * grad_batch + a * grad_row)[None, :] + (b * grad_column)[:, None]
        left = tl.load(grad_address, mask=is_inside[None, :] & (b < grad_width)[:, None], other=0.0)
        x_address = x + (clip * x_batch + h * x_row)[:, None] + (v * x_column)[None, :]
        right = tl.load(x_address, mask=is_inside[:, None] & ((v >= 0) & (v < x_width))[None, :], other=0.0)
        pairs = tl.dot(left, right, pairs, input_precision="ieee")
    lag = tl.arange(0, SPAN)[None, :] - tl.arange(0, TILE)[:, None]
    result += ((tile * num_channels + channel) * TAPS_H + tap) * TAPS_W
    for j in range(TAPS_W):
        tl.store(result + j, tl.sum(tl.sum(tl.where(lag == j, pairs, 0.0), 1), 0))


# A launch takes plain numbers for the compile-time constants of the kernel's signature.
_launch_convolve: Any = _convolve_kernel
_launch_weight_gradient: Any = _weight_gradient_kernel


def convolve_triton(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: tuple[int, int]
) -> torch.Tensor:
    """`forward.convolve`, summed in float32; the result has the type and memory format of `x`."""
    (num_batch, num_channels, x_rows, x_width), (taps_h, taps_w) = x.shape, weight.shape[2:]
    out_rows, out_width = x_rows + 2 * padding[0] - taps_h + 1, x_width + 2 * padding[1] - taps_w + 1
    memory_format = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    result = torch.empty(
        (num_batch, num_channels, out_rows, out_width), dtype=x.dtype, device=x.device, memory_format=memory_format
    )
    tile_h, tile_w = (min(16, triton.next_power_of_2(out_rows)), min(64, triton.next_power_of_2(out_width)))
    grid = (num_batch * num_channels, triton.cdiv(out_rows, tile_h), triton.cdiv(out_width, tile_w))
    _launch_convolve[grid](
        x, weight.contiguous(), result, num_channels, x_rows, x_width, out_rows, out_width, *padding,
        *x.stride(), *result.stride(), TAPS_H=taps_h, TAPS_W=taps_w, TILE_H=tile_h, TILE_W=tile_w,
    )  # fmt: skip
    return result if bias is None else result + bias[:, None, None]


def weight_gradient_triton(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: tuple[int, int], padding: tuple[int, int]
) -> torch.Tensor:
    """`weight_gradient`, in float32.

    Float32 products are exact ("ieee"), not rounded to TF32; bfloat16 and float16 products use tensor cores, which
    compute them exactly.
    """
    (num_batch, num_channels, x_rows, x_width), (grad_rows, grad_width) = x.shape, grad.shape[2:]
    tile = max(16, min(_MAX_TILE, 1 << (grad_width - 1).bit_length()))
    span = 1 << (tile + kernel_size[1] - 2).bit_length()
    num_tiles = -(-grad_width // tile)
    result = torch.empty((num_tiles, num_channels, 1, *kernel_size), device=x.device)
    _launch_weight_gradient[(num_channels, kernel_size[0], num_tiles)](
        x, grad, result, num_batch * grad_rows, num_channels, x_rows, x_width, grad_rows, grad_width, *padding,
        *x.stride(), *grad.stride(), TAPS_H=kernel_size[0], TAPS_W=kernel_size[1], TILE=tile, SPAN=span, DEPTH=32,
    )  # fmt: skip
    return result.sum(0)
