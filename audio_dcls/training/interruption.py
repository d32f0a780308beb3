"""Signals that stop a training: it finishes its step, writes a checkpoint, and reports the signal."""

from __future__ import annotations

import signal
import threading
import types
from typing import Any

STOPPED_EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: a signal stopped the training and everything is saved; run it again."""

SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")
"""Sent by a scheduler or `kill`, by Ctrl-C, and by Slurm before the time limit (`--signal=USR1@120`)."""


class StopRequest:
    """While entered, stores the first of `SIGNALS` instead of ending the process; a second Ctrl-C interrupts at once.

    Handlers can be set only in the main thread; in another thread nothing is caught.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for name in SIGNALS:
                number = getattr(signal, name, None)
                if number is not None:
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        if self.name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name
