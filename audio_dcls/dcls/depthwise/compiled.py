"""Depthwise convolution and its weight gradient by code that is generated for this processor; needs llvmlite.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.

Code is made in memory on the first use of a width (tens of milliseconds), kept for the process, and never written to
disk. It runs on torch's threads, as many as torch currently uses, and its results do not depend on their number.
"""

from __future__ import annotations

from typing import Any

import torch

from audio_dcls.dcls.depthwise import thresholds
from audio_dcls.dcls.depthwise.tuning import is_installed

_SCRATCH_BYTES = 2**19
"""Intended size of the data that one task packs: half of a usual second-level cache."""
_TASKS_PER_THREAD = 4


def compiled_covers(x: torch.Tensor, kernel_size: tuple[int, int]) -> bool:
    """True if generated code supports an input (N, C, H, W): on the CPU, float32, bfloat16 or float16, not too wide.

    >>> compiled_covers(torch.zeros(1, 1, 8, 8, dtype=torch.float64), (3, 3))
    False
    """
    fits = x.shape[3] * kernel_size[1] <= thresholds.COMPILED_MAX_ROW_PRODUCTS
    known = x.dtype in (torch.float32, torch.bfloat16, torch.float16)
    is_plain = type(x) in (torch.Tensor, torch.nn.Parameter)  # a subclass may have no memory to read
    return x.device.type == "cpu" and known and fits and is_plain and is_installed("llvmlite")


def compiled_is_worth_it(x: torch.Tensor, kernel_size: tuple[int, int]) -> bool:
    """True if generated code supports an input (N, C, H, W) and there is enough to compute.

    >>> compiled_is_worth_it(torch.zeros(1, 1, 8, 8), (3, 3))
    False
    """
    num_products = x.numel() * kernel_size[0] * kernel_size[1]
    return num_products >= thresholds.COMPILED_MIN_PRODUCTS and compiled_covers(x, kernel_size)


def convolve_compiled(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: tuple[int, int]
) -> torch.Tensor:
    """Stride-1 depthwise convolution (N, C, A, B) by direct sums, always in float32; of the type of `x`, channels_last.

    `x` (N, C, H, W) must be such that `compiled_covers(x, kernel_size)`, and the padding less than the kernel's size.
    A flipped view of the weight (C, 1, I, J) costs nothing. For bfloat16 input it may be rounded to bfloat16.
    """
    num_batch, num_channels, x_rows, x_width = x.shape
    num_tap_rows, num_taps = weight.shape[2:]
    out_rows, out_width = x_rows + 2 * padding[0] - num_tap_rows + 1, x_width + 2 * padding[1] - num_taps + 1
    dtype, x = x.dtype, _channels_last(x.float() if x.dtype == torch.float16 else x)
    weight = weight.float()
    bias = torch.zeros(num_channels) if bias is None else bias.float().contiguous()
    y = torch.empty((num_batch, num_channels, out_rows, out_width), dtype=x.dtype, memory_format=torch.channels_last)
    if y.numel() == 0:
        return y.to(dtype)
    code = _generate("forward", x_width, out_width, num_taps, padding[1], x.dtype == torch.bfloat16)
    num_blocks, num_threads = -(-num_channels // code.num_lanes), torch.get_num_threads()
    num_rows = num_batch * out_rows
    num_slices = _num_slices(num_blocks, num_rows, num_threads)
    row_bytes = 4 * code.num_lanes * (x_width + 1)
    part_rows = min(out_rows, max(num_tap_rows, _SCRATCH_BYTES // row_bytes - num_tap_rows))
    numbers = {
        "x": x.data_ptr(), "weight": weight.data_ptr(), "bias": bias.data_ptr(), "y": y.data_ptr(),
        "num_channels": num_channels, "num_slices": num_slices, "num_rows": num_rows, "part_rows": part_rows,
        "x_rows": x_rows, "out_rows": out_rows, "num_tap_rows": num_tap_rows, "pad_rows": padding[0],
        "x_batch_step": x.stride(0), "x_row_step": x.stride(2), "x_pixel_step": x.stride(3),
        "y_batch_step": y.stride(0), "y_row_step": y.stride(2), "y_pixel_step": y.stride(3),
        "weight_channel_step": weight.stride(0), "weight_row_step": weight.stride(2),
        "weight_tap_step": weight.stride(3),
    }  # fmt: skip
    worker_bytes = 4 * code.num_lanes * num_tap_rows * num_taps + row_bytes * (part_rows + num_tap_rows - 1)
    code.run(numbers, num_blocks * num_slices, num_threads, worker_bytes)
    return y.to(dtype)


def weight_gradient_compiled(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: tuple[int, int], padding: tuple[int, int]
) -> torch.Tensor:
    """`weight_gradient` by direct sums, float32; `x` must be such that `compiled_covers(x, kernel_size)`."""
    if x.dtype == torch.float16:
        x, grad = x.float(), grad.float()
    x, grad = _channels_last(x), _channels_last(grad)
    if x.numel() == 0:
        return x.new_zeros((x.shape[1], 1, *kernel_size), dtype=torch.float32)
    num_batch, num_channels, x_rows, x_width = x.shape
    grad_rows, grad_width = grad.shape[2:]
    code = _generate("gradient", x_width, grad_width, kernel_size[1], padding[1], x.dtype == torch.bfloat16)
    num_blocks, num_threads = -(-num_channels // code.num_lanes), torch.get_num_threads()
    num_slices = _num_slices(num_blocks, kernel_size[0], num_threads)
    clip_bytes = 4 * code.num_lanes * (x_rows * (x_width + 1) + grad_rows * (grad_width + 1))
    num_group = max(1, min(num_batch, _SCRATCH_BYTES // clip_bytes))
    sums = torch.zeros((num_blocks, *kernel_size, code.num_lanes))
    numbers = {
        "x": x.data_ptr(), "grad": grad.data_ptr(), "result": sums.data_ptr(), "num_batch": num_batch,
        "num_channels": num_channels, "num_group": num_group, "num_slices": num_slices,
        "x_rows": x_rows, "grad_rows": grad_rows, "num_tap_rows": kernel_size[0], "pad_rows": padding[0],
        "x_batch_step": x.stride(0), "x_row_step": x.stride(2), "x_pixel_step": x.stride(3),
        "grad_batch_step": grad.stride(0), "grad_row_step": grad.stride(2), "grad_pixel_step": grad.stride(3),
    }  # fmt: skip
    code.run(numbers, num_blocks * num_slices, num_threads, num_group * clip_bytes)
    return sums.permute(0, 3, 1, 2).reshape(-1, 1, *kernel_size)[:num_channels].contiguous()


def _generate(kind: str, x_width: int, out_width: int, num_taps: int, padding: int, is_bfloat16: bool) -> Any:
    """The code for these widths; see `machine_code.generate`."""
    from audio_dcls.dcls.depthwise import machine_code  # it needs llvmlite, which some systems lack

    return machine_code.generate(kind, x_width, out_width, num_taps, padding, is_bfloat16)


def _num_slices(num_blocks: int, num_rows: int, num_threads: int) -> int:
    """Parts of each block's rows: enough tasks that no thread waits long for the last one."""
    num_tasks = _TASKS_PER_THREAD * num_threads if num_threads > 1 else 1
    return min(num_rows, -(-num_tasks // num_blocks))


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    """`x` with contiguous channels; expanded axes (step 0) are fine."""
    return x if x.stride(1) == 1 or x.shape[1] == 1 else x.contiguous(memory_format=torch.channels_last)
