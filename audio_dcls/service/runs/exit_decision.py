"""Decide the next state of a run whose process has ended; these are pure functions."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from audio_dcls.service.runs.progress import Progress
from audio_dcls.service.runs.queue import RunEntry, RunState
from audio_dcls.training.interruption import STOPPED_EXIT_CODE

_CLEAN_EXIT_CODES = (0, STOPPED_EXIT_CODE, 128 + signal.SIGINT, 128 + signal.SIGKILL, 128 + signal.SIGTERM)
"""Exit codes that are not an error of the run itself; the last three are a shell's codes for signals."""


@dataclass(frozen=True)
class ExitDecision:
    """The next state of a run."""

    state: RunState
    error: str | None = None
    idle_attempts: int = 0
    """The number of starts since the last new step."""


def decide(
    entry: RunEntry,
    *,
    exit_code: int | None,
    progress: Progress,
    logged_error: str | None,
    is_closing: bool = False,
    max_attempts: int = 3,
) -> ExitDecision:
    """The next state of a run whose process has ended; `entry` is the run as it was while its process was alive.

    `exit_code` is negative for a signal, and None if an earlier service started the process. `logged_error` is the end
    of its log, if that is an error. `is_closing` is True if the service itself ended the process, to resume the run
    later. The run fails after `max_attempts` starts without a new step.
    """
    if progress.is_done:
        return ExitDecision("done")
    if exit_code is None and logged_error is not None:
        return ExitDecision("failed", logged_error)
    if exit_code is not None and exit_code > 0 and exit_code not in _CLEAN_EXIT_CODES:
        return ExitDecision("failed", logged_error or f"its process ended with exit code {exit_code}; see its log")
    if entry.wanted == "stop":
        return ExitDecision("stopped")
    if is_closing:
        return ExitDecision("queued", idle_attempts=max(0, entry.idle_attempts - 1))
    idle_attempts = 0 if progress.num_steps_done > entry.last_step else entry.idle_attempts
    if idle_attempts >= max_attempts:
        return ExitDecision(
            "failed",
            f"its process ended {_describe(exit_code)}, {idle_attempts} times in a row without a new step; look at its "
            "log and the machine's memory, then resume it",
            idle_attempts,
        )
    return ExitDecision("queued", idle_attempts=idle_attempts)


def _describe(exit_code: int | None) -> str:
    """The way a process ended, as part of a message.

    >>> _describe(-9), _describe(75), _describe(None)
    ('by SIGKILL', 'with exit code 75', 'unobserved')
    """
    if exit_code is None:
        return "unobserved"
    if exit_code >= 0:
        return f"with exit code {exit_code}"
    try:
        return f"by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"by signal {-exit_code}"
