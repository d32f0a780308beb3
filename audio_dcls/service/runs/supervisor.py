"""Start queued runs, settle runs that ended, and find the running runs of an earlier service again."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from audio_dcls.errors import AudioDclsError
from audio_dcls.service.runs.exit_decision import decide
from audio_dcls.service.runs.launcher import EngineAwayError, Launcher, Started, log_path
from audio_dcls.service.runs.progress import logged_error, read_progress
from audio_dcls.service.runs.queue import ACTIVE, RunEntry, RunQueue, now_text

logger = logging.getLogger("audio_dcls.service.runs")
AWAY_S = 10.0
"""After an engine could not be reached, no run is started for this time."""
_CLOSING_POLL_S = 0.1


@dataclass(frozen=True)
class Supervision:
    """The numbers by which runs are supervised."""

    max_running: int = 1
    """Runs that are trained, or measured after their training, at the same time."""
    max_attempts: int = 3
    """A run fails after this number of starts without a new step."""
    poll_s: float = 0.5
    """Time between two checks of all runs."""
    kill_after_s: float = 600.0
    """A run that should stop and takes longer than this is killed."""
    measures: bool = True
    """Compute the scores per class for runs that are done."""


class Supervisor:
    """A thread that checks every run in turn."""

    def __init__(
        self, queue: RunQueue, launchers: Mapping[str, Launcher], supervision: Supervision | None = None
    ) -> None:
        self.queue, self.launchers = queue, launchers
        self.supervision = supervision or Supervision()
        self.lock = threading.RLock()
        """Held while a run changes its state."""
        self._measuring: dict[str, RunEntry] = {}
        self._stopping_since_s: dict[str, float] = {}
        self._logged_problems: dict[str, str] = {}
        self._start_after_s = 0.0
        self._wake = threading.Event()
        self._is_closing = False
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """True if the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Find running runs again, and start the thread."""
        self.check_runs()
        self._thread = threading.Thread(target=self._run, name="runs", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Check the runs at once, not after the rest of `poll_s`."""
        self._wake.set()

    def close(self, *, leave: bool, grace_s: float) -> None:
        """End the thread and stop the runs; the next start resumes them.

        With `leave`, runs continue without the service; otherwise they have `grace_s` seconds to write checkpoints, and
        a run that takes longer ends by itself later.
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
            while self._check_active() and time.monotonic() < deadline_s:
                time.sleep(_CLOSING_POLL_S)

    def check_runs(self) -> None:
        """Check every run once, and start as many runs as allowed."""
        with self.lock:
            num_busy = self._check_active() + self._check_measuring()
            while not self._is_closing and num_busy < self.supervision.max_running and self._start_next():
                num_busy += 1

    def will_measure(self, entry: RunEntry) -> bool:
        """True if the scores per class of a run are still to be computed."""
        return self.supervision.measures and entry.state == "done" and not entry.is_measured

    def forget(self, entry: RunEntry) -> None:
        """Stop measuring a run."""
        measured = self._measuring.pop(entry.id, None)
        if measured is not None:
            with contextlib.suppress(EngineAwayError):
                self._launcher(measured).stop(measured, force=True)

    def _run(self) -> None:
        while not self._is_closing:
            try:
                self.check_runs()
            except (OSError, sqlite3.Error, psutil.Error, AudioDclsError):
                logger.exception("the runs cannot be checked; trying again")
            self._wake.wait(self.supervision.poll_s)
            self._wake.clear()

    def _check_active(self) -> int:
        """Settle active runs that have ended, and return the number of runs that are still active."""
        for entry in self.queue.entries(*ACTIVE):
            try:
                if not self._launcher(entry).is_alive(entry):
                    self._settle(entry)
                elif entry.state == "stopping":
                    self._stop(entry)
                self._logged_problems.pop(entry.id, None)
            except EngineAwayError as error:
                self._log_once(entry, error)
        return len(self.queue.entries(*ACTIVE))

    def _stop(self, entry: RunEntry) -> None:
        """Make a run's process write a checkpoint and end; kill it if that takes too long."""
        since_s = self._stopping_since_s.get(entry.id)
        if since_s is None:
            self._launcher(entry).stop(entry)
            self._stopping_since_s[entry.id] = time.monotonic()
        elif time.monotonic() - since_s > self.supervision.kill_after_s:
            self._launcher(entry).stop(entry, force=True)

    def _settle(self, entry: RunEntry) -> None:
        """Set the next state of a run whose process has ended, unless another process trains the run."""
        launcher = self._launcher(entry)
        found = launcher.find(entry)
        if found is not None:
            logger.info("run %s is still running; its process was found again", entry.id)
            self._note_started(entry, found)
            return
        exit_code = launcher.exit_code(entry)
        launcher.clear(entry)
        self._stopping_since_s.pop(entry.id, None)
        decision = decide(
            entry,
            exit_code=exit_code,
            progress=read_progress(entry),
            logged_error=logged_error(log_path(entry)),
            is_closing=self._is_closing,
            max_attempts=self.supervision.max_attempts,
        )
        logger.info("run %s ended with exit code %s; it is now %s", entry.id, exit_code, decision.state)
        self.queue.change(
            entry.id,
            only_in=ACTIVE,
            state=decision.state,
            error=decision.error,
            idle_attempts=decision.idle_attempts,
            exit_code=exit_code,
            ended=None if decision.state == "queued" else now_text(),
            is_measured=0,
            handle=None,
            pid=None,
            pid_started=None,
        )

    def _start_next(self) -> bool:
        """Measure a run that is done, or train the next run; return False if there is no such run."""
        if time.monotonic() < self._start_after_s:
            return False
        for entry in self.queue.entries("done"):
            if self.will_measure(entry) and entry.id not in self._measuring:
                self._measure(entry)
                return True
        entry = self.queue.claim_next()
        if entry is None:
            return False
        self.queue.change(entry.id, last_step=read_progress(entry).num_steps_done)
        launcher = self._launcher(entry)
        try:
            started = launcher.find(entry) or launcher.start(entry)
        except EngineAwayError as error:
            self._put_back(entry, error)
            return False
        except (OSError, AudioDclsError) as error:
            message = f"the run cannot be started: {error}"
            self.queue.change(entry.id, only_in=ACTIVE, state="failed", error=message, ended=now_text())
            return True
        logger.info("run %s is started (attempt %d)", entry.id, entry.attempts)
        self._note_started(entry, started)
        return True

    def _put_back(self, entry: RunEntry, error: EngineAwayError) -> None:
        """Put an entry back into the queue as if it had not been started, and start no run for a while."""
        self._start_after_s = time.monotonic() + AWAY_S
        self._log_once(entry, error)
        counts = {"attempts": entry.attempts - 1, "idle_attempts": entry.idle_attempts - 1}
        self.queue.change(entry.id, only_in=ACTIVE, state="queued", error=f"the run waits: {error}", **counts)

    def _log_once(self, entry: RunEntry, error: EngineAwayError) -> None:
        """Log a problem once, not with every check."""
        if self._logged_problems.get(entry.id) != str(error):
            self._logged_problems[entry.id] = str(error)
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

    def _check_measuring(self) -> int:
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
        """The launcher of the engine that a run was submitted to, or else the first launcher."""
        return self.launchers.get(entry.engine) or next(iter(self.launchers.values()))
