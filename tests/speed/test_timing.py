"""Calls are timed in turns, round by round."""

from __future__ import annotations

import torch

from audio_dcls.speed.timing import time_interleaved

CPU = torch.device("cpu")


def test_every_round_calls_each_once_and_turns_the_order():
    calls: list[str] = []
    functions = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    times_ms = time_interleaved(functions, 3, CPU, num_warmups=1)
    assert {name: len(values) for name, values in times_ms.items()} == {"a": 3, "b": 3, "c": 3}
    rounds = ["".join(calls[start : start + 3]) for start in range(0, len(calls), 3)]
    assert rounds == ["cab", "abc", "bca", "cab"]


def test_short_calls_are_repeated_within_a_sample():
    calls: list[str] = []
    time_interleaved({"a": lambda: calls.append("a")}, 1, CPU, num_warmups=1, min_sample_ms=1)
    assert len(calls) > 10
