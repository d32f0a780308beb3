"""Timing of functions in turns, so that a machine that is slow for a while slows all of them."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping

import torch

Call = Callable[[], object]


def time_interleaved(
    calls: Mapping[str, Call],
    num_rounds: int,
    device: torch.device,
    *,
    num_warmups: int = 1,
    min_sample_ms: float = 0.0,
    on_call: Callable[[str, int], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Milliseconds of each call; every round measures each call once, in an order that rotates from round to round.

    There is at least one warm-up, a round that is not timed. A sample is the mean of repeated calls that take about
    `min_sample_ms` together; a single short call would mostly measure how long idle threads take to wake. `on_call` is
    called with (name, round) before each call; warm-ups have negative rounds. The clock returns seconds;
    `time.process_time` leaves out the time of other processes.

    >>> times_ms = time_interleaved({"a": lambda: 1, "b": lambda: 2}, 3, torch.device("cpu"))
    >>> {name: len(values) for name, values in times_ms.items()}
    {'a': 3, 'b': 3}
    """
    names = list(calls)
    times_ms: dict[str, list[float]] = {name: [] for name in names}
    num_calls = dict.fromkeys(names, 1)
    gc.collect()
    gc.freeze()  # so that the collections between samples only go through new objects
    try:
        for round_index in range(-num_warmups, num_rounds):
            shift = round_index % len(names)
            for name in names[shift:] + names[:shift]:
                if on_call is not None:
                    on_call(name, round_index)
                sample_ms = _sample_ms(calls[name], num_calls[name], device, clock)
                if round_index >= 0:
                    times_ms[name].append(sample_ms)
                else:
                    num_calls[name] = max(1, math.ceil(min_sample_ms / sample_ms))
    finally:
        gc.unfreeze()
    return times_ms


def _sample_ms(call: Call, num_calls: int, device: torch.device, clock: Callable[[], float]) -> float:
    """The mean of several calls."""
    gc.collect()
    _wait_for(device)
    start_s = clock()
    for _ in range(num_calls):
        call()
    _wait_for(device)
    return 1000 * (clock() - start_s) / num_calls


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
