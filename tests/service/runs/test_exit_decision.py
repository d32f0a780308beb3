"""The next state of a run follows from its exit code, its progress and its log."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from audio_dcls.service.runs.exit_decision import decide
from audio_dcls.service.runs.progress import Progress
from audio_dcls.service.runs.queue import RunEntry

ENTRY = RunEntry("20260101-000000-abcdef", 1, "run", "train", "running", "run", None, "run.yaml", "run", "local")


@pytest.mark.parametrize(
    ("exit_code", "steps", "values", "said", "is_closing", "state", "idle"),
    [
        (0, 10, {}, None, False, "queued", 0),  # it ended early, having made steps
        (75, 10, {}, None, False, "queued", 0),
        (-9, 10, {}, None, False, "queued", 0),
        (None, 10, {}, None, False, "queued", 0),
        (-9, 5, {"idle_attempts": 2}, None, False, "queued", 2),
        (-9, 5, {"idle_attempts": 3}, None, False, "failed", 3),
        (-9, 6, {"idle_attempts": 3}, None, False, "queued", 0),
        (75, 5, {"idle_attempts": 3}, None, True, "queued", 2),
        (2, 10, {}, "wrong", False, "failed", 0),
        (1, 10, {}, None, False, "failed", 0),
        (None, 10, {}, "wrong", False, "failed", 0),
        (75, 10, {"wanted": "stop"}, None, False, "stopped", 0),
        (-15, 10, {"wanted": "stop"}, None, False, "stopped", 0),
        (None, 10, {"wanted": "stop"}, None, True, "stopped", 0),
        (2, 10, {"wanted": "stop"}, "wrong", False, "failed", 0),
    ],
)
def test_ends_are_judged(
    exit_code: int | None, steps: int, values: dict[str, Any], said: str | None, is_closing: bool,
    state: str, idle: int,
) -> None:  # fmt: skip
    run = dataclasses.replace(ENTRY, **{"last_step": 5, "idle_attempts": 1, **values})
    there = Progress(num_seeds=2, num_done=1, num_steps_done=steps)
    ending = decide(run, exit_code=exit_code, progress=there, logged_error=said, is_closing=is_closing)
    assert (ending.state, ending.idle_attempts) == (state, idle)
    assert (ending.error is None) == (state != "failed")
    finished = Progress(num_seeds=2, num_done=2, num_steps_done=80)
    assert decide(run, exit_code=exit_code, progress=finished, logged_error=said).state == "done"
