"""Depthwise weight gradient by code generated for this processor; needs llvmlite.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.

Code is made in memory on first use of a width (tens of milliseconds), kept for the process, and never written to disk.
Tasks run on as many threads as torch uses at that moment; torch's own setting is only read.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import functools
import importlib.util
import os
from typing import Any

import torch

MAX_PRODUCTS = 4096
"""Longest generated row, in vector multiply-adds: what a core's instruction cache holds with room to spare."""

SCRATCH_BYTES = 2**19
"""Aim for the packed clips of one task: half of a usual second-level cache."""


@functools.cache
def compiled_is_available() -> bool:
    """Whether llvmlite is installed (`numba` brings it).

    >>> compiled_is_available() in (True, False)
    True
    """
    return importlib.util.find_spec("llvmlite") is not None


def compiled_covers(x: torch.Tensor, kernel_size: tuple[int, int]) -> bool:
    """Whether `weight_gradient_compiled` can serve this input: on the CPU, float32, bfloat16 or float16, not too wide.

    Shape:
        x: (N, C, H, W).

    >>> compiled_covers(torch.zeros(1, 1, 8, 8, dtype=torch.float64), (3, 3))
    False
    """
    fits = x.shape[3] * kernel_size[1] <= MAX_PRODUCTS
    known = x.dtype in (torch.float32, torch.bfloat16, torch.float16)
    return x.device.type == "cpu" and known and fits and compiled_is_available()


def weight_gradient_compiled(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: tuple[int, int], padding: tuple[int, int]
) -> torch.Tensor:
    r"""Gradient of a stride-1 depthwise convolution with respect to its weight, by direct sums.

    .. math:: \partial w[c, i, j] = \sum_{n, a, b} \partial y[n, c, a, b] \, x[n, c, a + i - p_h, b + j - p_w]

    Args:
        x: input of the convolution, such that `compiled_covers(x, kernel_size)`.
        grad: gradient of its output, same type.
        kernel_size: rows and columns of the kernel, taps.
        padding: zeros on each side of each axis, taps.

    Shape:
        x: (N, C, H, W); grad: (N, C, A, B); result: (C, 1, I, J), float32.
    """
    if x.dtype == torch.float16:
        x, grad = x.float(), grad.float()
    x, grad = _channels_last(x), _channels_last(grad)
    if x.numel() == 0:
        return x.new_zeros((x.shape[1], 1, *kernel_size), dtype=torch.float32)
    num_lanes, num_registers = host_vectors()
    is_bfloat16 = x.dtype == torch.bfloat16
    code = _compile(x.shape[3], grad.shape[3], kernel_size[1], padding[1], is_bfloat16, num_lanes, num_registers)
    num_blocks = -(-x.shape[1] // num_lanes)
    sums = torch.zeros((num_blocks, *kernel_size, num_lanes))
    _run(code, x, grad, sums, padding[0])
    return sums.permute(0, 3, 1, 2).reshape(-1, 1, *kernel_size)[: x.shape[1]].contiguous()


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    """`x` with neighbouring channels side by side; expanded axes (step 0) are fine."""
    return x if x.stride(1) == 1 or x.shape[1] == 1 else x.contiguous(memory_format=torch.channels_last)


@functools.cache
def host_vectors() -> tuple[int, int]:
    """Float32 lanes of this processor's widest vector, and how many such registers it has.

    >>> all(number >= 4 for number in host_vectors())
    True
    """
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16, 32
    if features.get("avx"):
        return 8, 16
    return 4, 32 if "aarch64" in llvm.get_process_triple() or "arm64" in llvm.get_process_triple() else 16


@functools.lru_cache(maxsize=128)
def _compile(
    x_width: int, grad_width: int, num_taps: int, padding: int, is_bfloat16: bool, num_lanes: int, num_registers: int
) -> tuple[Any, Any]:
    """The generated function, which runs without the interpreter lock, and the engine that owns its memory.

    Args:
        x_width, grad_width, num_taps, padding, is_bfloat16, num_lanes, num_registers: as in `KernelShape`.
    """
    import llvmlite.binding as llvm

    from audio_dcls.dcls.depthwise_codegen import NUMBERS, POINTERS, KernelShape, generate

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name = "depthwise_weight_gradient"
    shape = KernelShape(x_width, grad_width, num_taps, padding, is_bfloat16, num_lanes, num_registers)
    module = llvm.parse_assembly(generate(shape, name))
    module.verify()
    # Some processors' tuning splits 512-bit vectors in two, which leaves too few registers for a row of taps.
    features = llvm.get_host_cpu_features()
    flags = features.flatten() + (",-prefer-256-bit" if features.get("avx512f") else "")
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=flags, opt=2, jit=True)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(POINTERS), *[ctypes.c_int64] * len(NUMBERS))
    return kind(engine.get_function_address(name)), engine


@functools.lru_cache(maxsize=4)
def _thread_pool(num_threads: int, process_id: int) -> concurrent.futures.ThreadPoolExecutor:
    """Threads of this process: those of a parent do not survive a fork, hence the second key."""
    return concurrent.futures.ThreadPoolExecutor(num_threads, thread_name_prefix="depthwise")


def _run(code: tuple[Any, Any], x: torch.Tensor, grad: torch.Tensor, sums: torch.Tensor, pad_rows: int) -> None:
    """Split channel blocks, and tap rows where blocks are few, over torch's number of threads."""
    num_batch, num_channels, x_rows, x_width = x.shape
    grad_rows, grad_width = grad.shape[2:]
    num_blocks, num_tap_rows, _, num_lanes = sums.shape
    num_threads = torch.get_num_threads()
    num_tasks = 4 * num_threads if num_threads > 1 else 1
    num_slices = min(num_tap_rows, -(-num_tasks // num_blocks))
    clip_floats = (x_rows * x_width + grad_rows * grad_width) * num_lanes
    num_group = max(1, min(num_batch, SCRATCH_BYTES // (4 * max(1, clip_floats))))
    num_workers = min(num_threads, num_blocks * num_slices)
    scratch = torch.empty((num_workers, num_group * clip_floats))
    steps = (x.stride(0), x.stride(2), x.stride(3), grad.stride(0), grad.stride(2), grad.stride(3))
    tasks = iter([(block, part) for block in range(num_blocks) for part in range(num_slices)])
    function = code[0]

    def work(worker: int) -> None:
        for block, part in tasks:
            first, last = (num_tap_rows * edge // num_slices for edge in (part, part + 1))
            function(
                x.data_ptr(), grad.data_ptr(), sums.data_ptr(), scratch[worker].data_ptr(),
                num_batch, num_group, x_rows, grad_rows, first, last, num_tap_rows, pad_rows,
                *steps, block, block + 1, num_channels,
            )  # fmt: skip

    if num_workers <= 1:
        work(0)
        return
    futures = [_thread_pool(num_threads - 1, os.getpid()).submit(work, worker) for worker in range(1, num_workers)]
    work(0)
    for future in futures:
        future.result()
