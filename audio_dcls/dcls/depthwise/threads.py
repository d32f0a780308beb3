"""Generated code on torch's own threads.

A function that takes tasks off a shared counter is called once by each thread of the OpenMP team torch uses: threads of
a second pool would wait for the cores on which torch's, idle, still spin. Where there is no such OpenMP, a pool it is.
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
"""Type of the generated functions: they are given the address of their arguments."""


def run_on_threads(function: Any, arguments: Any, num_workers: int) -> None:
    """Call `function(arguments)` on several threads at once, and wait for all.

    Args:
        function: a `TASK_FUNCTION`, which runs without the interpreter lock.
        arguments: a ctypes array that the workers share.
        num_workers: threads to use; this one is among them.
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
    """How GNU's and, on Linux, LLVM's and Intel's OpenMP enter a parallel region; None where the process has none."""
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
    """Threads of this process: those of a parent do not survive a fork, hence the second key."""
    return concurrent.futures.ThreadPoolExecutor(num_threads, thread_name_prefix="depthwise")
