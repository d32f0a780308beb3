"""Running generated code on torch's threads.

A function that takes tasks from a shared counter is called once by each thread of torch's OpenMP team: threads of a
second pool would wait for the cores on which torch's idle threads still spin. Without such an OpenMP, a pool is used.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

import torch

TASK_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
"""Type of the generated functions: their argument is the address of an argument block."""


def run_on_threads(function: Any, arguments: Any, num_workers: int) -> None:
    """Call `function(arguments)` on several threads at once, and wait for all of them.

    Args:
        function: a `TASK_FUNCTION`, which runs without the interpreter lock.
        arguments: a ctypes array that the workers share.
        num_workers: number of threads, including the calling one.
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
    parallel.argtypes = [TASK_FUNCTION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel


@functools.lru_cache(maxsize=4)
def _thread_pool(num_threads: int, process_id: int) -> concurrent.futures.ThreadPoolExecutor:
    """A pool per process: threads do not survive a fork, so the process id is part of the key."""
    return concurrent.futures.ThreadPoolExecutor(num_threads, thread_name_prefix="depthwise")
