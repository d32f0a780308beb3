"""Compile generated code for this processor, and run it on torch's threads; needs llvmlite.

A function that takes tasks from a shared counter is called once by each thread of torch's OpenMP team: threads of a
second pool would wait for the cores on which torch's idle threads still spin. Without such an OpenMP, a pool is used.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import llvmlite.binding as llvm
import torch

from audio_dcls.dcls.depthwise.codegen import RowShape
from audio_dcls.dcls.depthwise.codegen_forward import ForwardEmitter
from audio_dcls.dcls.depthwise.codegen_gradient import GradientEmitter

_TASK_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
"""Type of the generated functions: their argument is the address of an argument block."""


def generate(kind: str, x_width: int, out_width: int, num_taps: int, padding: int, is_bfloat16: bool) -> Code:
    """The code ("forward" or "gradient") for the widths of `RowShape`, made on the first call and kept."""
    has_pairs = is_bfloat16 and has_pair_products()
    return _compile(kind, RowShape(x_width, out_width, num_taps, padding, is_bfloat16, has_pairs, *host_vectors()))


@functools.cache
def host_vectors() -> tuple[int, int]:
    """Float32 lanes of this processor's widest vector, and its number of such registers.

    >>> all(number >= 4 for number in host_vectors())
    True
    """
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16, 32
    if features.get("avx"):
        return 8, 16
    return 4, 32 if "aarch64" in llvm.get_process_triple() or "arm64" in llvm.get_process_triple() else 16


@functools.cache
def has_pair_products() -> bool:
    """True if this processor adds two products of bfloat16 numbers to a float32 number in one instruction."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("avx512f") and features.get("avx512bf16"))


class Code:
    """A generated function and the engine that owns its memory."""

    def __init__(self, function: Any, engine: Any, fields: Sequence[str], num_lanes: int) -> None:
        self.function, self.engine, self.fields, self.num_lanes = function, engine, fields, num_lanes
        self.block_type = ctypes.c_int64 * len(fields)

    def run(self, numbers: Mapping[str, int], num_tasks: int, num_threads: int, worker_bytes: int) -> None:
        """Run all tasks on up to `num_threads` threads, each with its own scratch memory."""
        num_workers = min(num_threads, num_tasks)
        worker_bytes = -(-worker_bytes // 64) * 64
        scratch = torch.empty(num_workers * worker_bytes + 64, dtype=torch.uint8)
        header = {
            "next_task": 0, "next_worker": 0, "num_tasks": num_tasks,
            "scratch": -(-scratch.data_ptr() // 64) * 64, "worker_bytes": worker_bytes,
        }  # fmt: skip
        arguments = self.block_type(*[header[field] if field in header else numbers[field] for field in self.fields])
        _run_on_threads(self.function, arguments, num_workers)


@functools.lru_cache(maxsize=256)
def _compile(kind: str, shape: RowShape) -> Code:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name = f"depthwise_{kind}"
    emitter = ForwardEmitter(shape) if kind == "forward" else GradientEmitter(shape)
    module = llvm.parse_assembly(emitter.generate(name))
    module.verify()
    # LLVM's tuning for some processors splits 512-bit vectors, which leaves too few registers for a row of taps.
    features = llvm.get_host_cpu_features()
    flags = features.flatten() + (",-prefer-256-bit" if features.get("avx512f") else "")
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=flags, opt=2, jit=True)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return Code(_TASK_FUNCTION(engine.get_function_address(name)), engine, emitter.fields, shape.num_lanes)


def _run_on_threads(function: Any, arguments: Any, num_workers: int) -> None:
    """Call a `_TASK_FUNCTION`, which runs without the interpreter lock, on several threads and wait for all of them.

    The threads, including the calling one, share `arguments`, a ctypes array.
    """
    if num_workers <= 1:
        function(arguments)
        return
    parallel = _openmp_parallel()
    if parallel is not None:
        parallel(function, arguments, num_workers, 0)
        return
    pool = _thread_pool(num_workers - 1, os.getpid())
    futures = [pool.submit(function, arguments) for _ in range(num_workers - 1)]
    function(arguments)
    for future in futures:
        future.result()


@functools.cache
def _openmp_parallel() -> Callable[..., None] | None:
    """The entry to a parallel region of GNU's and, on Linux, LLVM's and Intel's OpenMP; None without OpenMP."""
    if not torch.backends.openmp.is_available():
        return None
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    parallel.argtypes = [_TASK_FUNCTION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel


@functools.lru_cache(maxsize=4)
def _thread_pool(num_threads: int, process_id: int) -> concurrent.futures.ThreadPoolExecutor:
    """A pool per process: threads do not survive a fork, so the process id is part of the key."""
    return concurrent.futures.ThreadPoolExecutor(num_threads, thread_name_prefix="depthwise")
