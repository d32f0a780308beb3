"""Timing functions in turns, so that what slows the machine for a while slows all of them."""

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
    """Milliseconds of each call; every round measures each call once, in an order that turns round by round.

    Args:
        calls: what is timed, by name.
        num_rounds: timed rounds, at least 1.
        device: waited for before and after each call.
        num_warmups: rounds before them that are not timed, at least 1.
        min_sample_ms: a sample repeats its call so often that it takes about this long, and is the mean of them; a
            call of its own would mostly measure how long idle threads take to wake.
        on_call: told (name, round) before each call; warm-ups have negative rounds.
        clock: seconds; `time.process_time` leaves out what other processes take.

    >>> times_ms = time_interleaved({"a": lambda: 1, "b": lambda: 2}, 3, torch.device("cpu"))
    >>> {name: len(values) for name, values in times_ms.items()}
    {'a': 3, 'b': 3}
    """
    names = list(calls)
    times_ms: dict[str, list[float]] = {name: [] for name in names}
    num_calls = dict.fromkeys(names, 1)
    gc.collect()
    gc.freeze()  # the garbage of each sample is collected before the next, without going through all that was there
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
    """Mean of several calls."""
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
