"""The choice of the fastest method by measurement."""

from __future__ import annotations

from collections.abc import Callable

import torch

from audio_dcls.dcls.depthwise.tuning import _fastest, fastest_method


def returned_ms(call: Callable[[], object]) -> float:
    """A timer for methods that return the time they would take."""
    return float(call())  # pyright: ignore[reportArgumentType]


def test_the_fastest_method_is_measured_once():
    calls: list[str] = []
    times_ms = {"slow": 2.0, "fast": 1.0}

    def make(name: str):
        def method() -> float:
            calls.append(name)
            return times_ms[name]

        return method

    methods = {name: make(name) for name in times_ms}
    key = "the fastest method is measured once"
    assert fastest_method(key, methods, timer_ms=returned_ms) == "fast"
    num_calls = len(calls)
    assert fastest_method(key, methods, timer_ms=returned_ms) == "fast"
    assert len(calls) == num_calls
    _fastest.pop(key)


def test_a_method_without_memory_is_out_and_determinism_takes_the_first():
    def exhausted() -> float:
        raise torch.OutOfMemoryError("no memory")

    methods = {"first": lambda: 2.0, "exhausted": exhausted, "fast": lambda: 1.0}
    assert fastest_method("memory", methods, timer_ms=returned_ms) == "fast"
    torch.use_deterministic_algorithms(True)
    try:
        assert fastest_method("memory", methods, timer_ms=returned_ms) == "first"
    finally:
        torch.use_deterministic_algorithms(False)
    _fastest.pop("memory")
