"""What becomes of a run whose process has ended. Pure: from what is known to what is next."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from audio_dcls.service.runs.progress import Outlook
from audio_dcls.service.runs.queue import RunEntry, RunState
from audio_dcls.training.interruption import STOPPED_EXIT_CODE

CLEAN_EXIT_CODES = (0, STOPPED_EXIT_CODE, 128 + signal.SIGINT, 128 + signal.SIGKILL, 128 + signal.SIGTERM)
"""Ends that are no mistake of the run's own: the last three as shells tell them."""


@dataclass(frozen=True)
class Ending:
    """The next state of a run."""

    state: RunState
    error: str | None = None
    idle_attempts: int = 0
    """Times it was started since it last made a step."""


def judge(
    entry: RunEntry,
    *,
    exit_code: int | None,
    outlook: Outlook,
    said_error: str | None,
    is_closing: bool = False,
    max_attempts: int = 3,
) -> Ending:
    """What becomes of a run.

    Args:
        entry: as it was while its process lived.
        exit_code: negative for a signal; None where it cannot be known: an earlier service had started it.
        outlook: how far its folder says it is.
        said_error: the last words of its log, where they are an error.
        is_closing: whether the service itself ended it, to go on with it later.
        max_attempts: starts without a new step after which it is given up.
    """
    if outlook.is_done:
        return Ending("done")
    if exit_code is None and said_error is not None:
        return Ending("failed", said_error)
    if exit_code is not None and exit_code > 0 and exit_code not in CLEAN_EXIT_CODES:
        return Ending("failed", said_error or f"its process ended with exit code {exit_code}; its log may say more")
    if entry.wanted == "stop":
        return Ending("stopped")
    if is_closing:
        return Ending("queued", idle_attempts=max(0, entry.idle_attempts - 1))
    idle_attempts = 0 if outlook.num_steps_done > entry.last_step else entry.idle_attempts
    if idle_attempts >= max_attempts:
        return Ending(
            "failed",
            f"its process ended {_how(exit_code)}, {idle_attempts} times in a row without a new step; look at its log "
            "and the machine's memory, then resume it",
            idle_attempts,
        )
    return Ending("queued", idle_attempts=idle_attempts)


def _how(exit_code: int | None) -> str:
    """The end of a process in words.

    >>> _how(-9), _how(75), _how(None)
    ('by SIGKILL', 'with exit code 75', 'unseen')
    """
    if exit_code is None:
        return "unseen"
    if exit_code >= 0:
        return f"with exit code {exit_code}"
    try:
        return f"by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"by signal {-exit_code}"
