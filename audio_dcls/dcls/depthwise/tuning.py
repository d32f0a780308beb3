"""The fastest of several equivalent methods, measured once per device, type and shape and kept for the process."""

from __future__ import annotations

import functools
import importlib.util
import statistics
from collections.abc import Callable, Hashable, Mapping

import torch

_NUM_ROUNDS = 5
"""Timed calls per method; the methods take turns."""

_fastest: dict[Hashable, str] = {}


@functools.cache
def is_installed(package: str) -> bool:
    """True if an optional package is installed."""
    return importlib.util.find_spec(package) is not None


def fastest_method(
    key: Hashable,
    methods: Mapping[str, Callable[[], object]],
    timer_ms: Callable[[Callable[[], object]], float] | None = None,
) -> str:
    """The name of the method with the smallest median time, measured on the first call with this key.

    The first method is used without measurement if measuring is impossible (a CUDA graph is being captured), or if
    every run must give the same bits (`torch.use_deterministic_algorithms`): measurements vary.

    The key holds everything that the time depends on. The methods compute the same result, the safest first; one that
    runs out of memory is dropped. `timer_ms` measures one call in milliseconds, by default with CUDA events.

    >>> fastest_method("doctest", {"a": lambda: 3, "b": lambda: 2}, timer_ms=lambda call: call())
    'b'
    """
    if torch.are_deterministic_algorithms_enabled() or len(methods) == 1:
        return next(iter(methods))
    if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        return _fastest.get(key, next(iter(methods)))
    if key not in _fastest:
        _fastest[key] = _measure(methods, timer_ms or _cuda_timer_ms)
    return _fastest[key]


def _measure(methods: Mapping[str, Callable[[], object]], timer_ms: Callable[[Callable[[], object]], float]) -> str:
    times_ms: dict[str, list[float]] = {}
    for name, method in methods.items():
        try:
            timer_ms(method)
        except torch.OutOfMemoryError:
            continue
        times_ms[name] = []
    for _ in range(_NUM_ROUNDS):
        for name, values in times_ms.items():
            values.append(timer_ms(methods[name]))
    return min(times_ms, key=lambda name: statistics.median(times_ms[name]), default=next(iter(methods)))


def _cuda_timer_ms(call: Callable[[], object]) -> float:
    """Milliseconds between two events around one call on the current stream."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)
