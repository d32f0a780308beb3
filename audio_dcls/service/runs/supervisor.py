"""Keeps the queue going: starts runs, notices how they end, finds those again that an earlier service started."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sqlite3
import threading
import time
from collections.abc import Mapping

import psutil

from audio_dcls.errors import AudioDclsError
from audio_dcls.service.runs.exit_decision import judge
from audio_dcls.service.runs.launcher import EngineAwayError, Launcher, Started, log_path
from audio_dcls.service.runs.progress import outlook, said_error
from audio_dcls.service.runs.queue import ACTIVE, RunEntry, RunQueue, now_text

logger = logging.getLogger("audio_dcls.service.runs")
CLOSING_POLL_S = 0.1
AWAY_S = 10.0
"""How long an engine that cannot be reached is left alone."""


class Supervisor:
    """One thread that looks at every run in turn.

    Args:
        queue: the runs.
        launchers: by engine.
        max_running: runs trained, or measured after their training, at a time.
        max_attempts: starts without a new step after which a run is given up.
        poll_s: between two looks.
        kill_after_s: a run that was asked to stop and has not by then is killed.
        measures: whether runs that are done are measured class by class.
    """

    def __init__(
        self,
        queue: RunQueue,
        launchers: Mapping[str, Launcher],
        *,
        max_running: int = 1,
        max_attempts: int = 3,
        poll_s: float = 0.5,
        kill_after_s: float = 600.0,
        measures: bool = True,
    ) -> None:
        self.queue, self.launchers = queue, launchers
        self.max_running, self.max_attempts, self.poll_s = max_running, max_attempts, poll_s
        self.kill_after_s, self.measures = kill_after_s, measures
        self.lock = threading.RLock()
        """Held while a run changes its state."""
        self._measuring: dict[str, RunEntry] = {}
        self._asked_s: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._start_after_s = 0.0
        self._wake = threading.Event()
        self._is_closing = False
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Find running runs again, and begin."""
        self.look()
        self._thread = threading.Thread(target=self._run, name="runs", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at once."""
        self._wake.set()

    def close(self, *, leave: bool, grace_s: float) -> None:
        """End the thread, and with it the runs, which the next start goes on with.

        Args:
            leave: let the runs go on without the service.
            grace_s: how long to wait for checkpoints to be written; what takes longer ends by itself.
        """
        self._is_closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with self.lock:
            for entry in list(self._measuring.values()):
                self.forget(entry)
            if leave:
                return
            for entry in self.queue.entries(*ACTIVE):
                with contextlib.suppress(EngineAwayError):
                    self._launcher(entry).stop(entry)
            deadline_s = time.monotonic() + grace_s
            while self._look_at_active() and time.monotonic() < deadline_s:
                time.sleep(CLOSING_POLL_S)

    def look(self) -> None:
        """Look at every run once, and start those that there is room for."""
        with self.lock:
            num_busy = self._look_at_active() + self._look_at_measuring()
            while not self._is_closing and num_busy < self.max_running and self._start_next():
                num_busy += 1

    def is_to_be_measured(self, entry: RunEntry) -> bool:
        """Whether scores per class are still to come."""
        return self.measures and entry.state == "done" and not entry.is_measured

    def forget(self, entry: RunEntry) -> None:
        """End the measuring of a run that is deleted."""
        measured = self._measuring.pop(entry.id, None)
        if measured is not None:
            with contextlib.suppress(EngineAwayError):
                self._launcher(measured).stop(measured, force=True)

    def _run(self) -> None:
        while not self._is_closing:
            try:
                self.look()
            except (OSError, sqlite3.Error, psutil.Error, AudioDclsError):
                logger.exception("the runs cannot be looked at; trying again")
            self._wake.wait(self.poll_s)
            self._wake.clear()

    def _look_at_active(self) -> int:
        """Settle what has ended; the number of runs that have not."""
        for entry in self.queue.entries(*ACTIVE):
            try:
                self._look_at(entry)
                self._troubles.pop(entry.id, None)
            except EngineAwayError as error:
                self._tell(entry, error)
        return len(self.queue.entries(*ACTIVE))

    def _look_at(self, entry: RunEntry) -> None:
        if not self._launcher(entry).is_alive(entry):
            self._settle(entry)
        elif entry.state == "stopping":
            self._ask_to_stop(entry)

    def _ask_to_stop(self, entry: RunEntry) -> None:
        """Have a run's process write a checkpoint and end; once that takes too long, kill it."""
        asked_s = self._asked_s.get(entry.id)
        if asked_s is None:
            self._launcher(entry).stop(entry)
            self._asked_s[entry.id] = time.monotonic()
        elif time.monotonic() - asked_s > self.kill_after_s:
            self._launcher(entry).stop(entry, force=True)

    def _settle(self, entry: RunEntry) -> None:
        """Decide what becomes of a run whose process is not there, unless another one is."""
        launcher = self._launcher(entry)
        found = launcher.find(entry)
        if found is not None:
            logger.info("run %s is found again", entry.id)
            self._note_started(entry, found)
            return
        exit_code = launcher.exit_code(entry)
        launcher.clear(entry)
        self._asked_s.pop(entry.id, None)
        ending = judge(
            entry,
            exit_code=exit_code,
            outlook=outlook(entry),
            said_error=said_error(log_path(entry)),
            is_closing=self._is_closing,
            max_attempts=self.max_attempts,
        )
        logger.info("run %s ended with exit code %s: %s", entry.id, exit_code, ending.state)
        self.queue.change(
            entry.id,
            only_in=ACTIVE,
            state=ending.state,
            error=ending.error,
            idle_attempts=ending.idle_attempts,
            exit_code=exit_code,
            ended=None if ending.state == "queued" else now_text(),
            is_measured=0,
            handle=None,
            pid=None,
            pid_started=None,
        )

    def _start_next(self) -> bool:
        """Measure a run that is done, or train the next one; False where there is neither."""
        if time.monotonic() < self._start_after_s:
            return False
        for entry in self.queue.entries("done") if self.measures else []:
            if not entry.is_measured and entry.id not in self._measuring:
                self._measure(entry)
                return True
        entry = self.queue.claim_next()
        if entry is None:
            return False
        self.queue.change(entry.id, last_step=outlook(entry).num_steps_done)
        launcher = self._launcher(entry)
        try:
            started = launcher.find(entry) or launcher.start(entry)
        except EngineAwayError as error:
            self._put_back(entry, error)
            return False
        except (OSError, AudioDclsError) as error:
            message = f"it cannot be started: {error}"
            self.queue.change(entry.id, only_in=ACTIVE, state="failed", error=message, ended=now_text())
            return True
        logger.info("run %s is started (attempt %d)", entry.id, entry.attempts)
        self._note_started(entry, started)
        return True

    def _put_back(self, entry: RunEntry, error: EngineAwayError) -> None:
        """Have an entry wait, as if it had not been started; nothing else is started meanwhile."""
        self._start_after_s = time.monotonic() + AWAY_S
        self._tell(entry, error)
        counts = {"attempts": entry.attempts - 1, "idle_attempts": entry.idle_attempts - 1}
        self.queue.change(entry.id, only_in=ACTIVE, state="queued", error=f"it waits: {error}", **counts)

    def _tell(self, entry: RunEntry, error: EngineAwayError) -> None:
        """Log a trouble once, not with every look."""
        if self._troubles.get(entry.id) != str(error):
            self._troubles[entry.id] = str(error)
            logger.warning("run %s: %s", entry.id, error)

    def _note_started(self, entry: RunEntry, started: Started) -> None:
        self.queue.change(entry.id, only_in=ACTIVE, **dataclasses.asdict(started))

    def _measure(self, entry: RunEntry) -> None:
        try:
            started = self._launcher(entry).measure(entry)
        except (OSError, AudioDclsError) as error:
            logger.warning("run %s cannot be measured: %s", entry.id, error)
            self.queue.change(entry.id, is_measured=1)
            return
        self._measuring[entry.id] = dataclasses.replace(entry, **dataclasses.asdict(started))

    def _look_at_measuring(self) -> int:
        for run_id, entry in list(self._measuring.items()):
            launcher = self._launcher(entry)
            with contextlib.suppress(EngineAwayError):
                if not launcher.is_alive(entry):
                    logger.info("run %s is measured (exit code %s)", run_id, launcher.exit_code(entry))
                    launcher.clear(entry)
                    self.queue.change(run_id, is_measured=1)
                    del self._measuring[run_id]
        return len(self._measuring)

    def _launcher(self, entry: RunEntry) -> Launcher:
        """Of the engine a run was submitted to, or the one there is."""
        return self.launchers.get(entry.engine) or next(iter(self.launchers.values()))
