"""Depthwise weight gradient by one batched matrix product per row of taps and sums along diagonals.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.
"""

from __future__ import annotations

import torch


def weight_gradient_gemm(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: tuple[int, int], padding: tuple[int, int]
) -> torch.Tensor:
    r"""Gradient of a stride-1 depthwise convolution with respect to its weight.

    Tap row `i` pairs output row `a` with input row `a + i - padding`. One product over batch and rows,
    `M[b, v] = sum_{n, a} grad[n, a, b] x[n, a + i - padding, v]`, holds every pair of columns; tap `j` is the sum of
    its diagonal `v - b = j - padding`.

    Args:
        x: input of the convolution, of any floating-point type that the matrix product supports.
        grad, kernel_size, padding: as in `weight_gradient`.

    Shape:
        x: (N, C, H, W); grad: (N, C, A, B); result: (C, 1, I, J).

    >>> ones = torch.ones(2, 3, 4, 5)
    >>> weight_gradient_gemm(ones, ones, (1, 1), (0, 0)).flatten().tolist()
    [40.0, 40.0, 40.0]
    """
    num_batch, num_channels, height, width = x.shape
    out_height, out_width = grad.shape[2:]
    (pad_h, pad_w), (taps_h, taps_w) = padding, kernel_size
    # The axis of rows comes before the batch, so that the rows for one row of taps are one slice.
    x_rows = x.new_zeros((num_channels, height, num_batch, width + 2 * pad_w))
    x_rows[..., pad_w : pad_w + width] = x.permute(1, 2, 0, 3)
    grad_rows = grad.permute(1, 2, 0, 3).contiguous()
    result = x.new_zeros((num_channels, 1, *kernel_size))
    padded_width = width + 2 * pad_w
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
