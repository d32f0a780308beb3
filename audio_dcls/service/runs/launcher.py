"""Starts the processes that train, and finds them again after the service was killed.

A run's process is `audio-dcls train` or `audio-dcls study` in a session of its own: it outlives the service. What names
it, whatever became of its pid, is the run's folder on its command line.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psutil

from audio_dcls.errors import RunError
from audio_dcls.service.runs.queue import RunEntry

NICENESS = 10
"""Training gives way to the service's own answers."""
CLOCK_TOLERANCE_S = 2.0
"""A process's time of birth is read against the boot time, which the system corrects now and then."""
START_MARK = "── start"
"""Begins the line that each start writes into the log."""


class EngineAwayError(RunError):
    """The engine cannot be reached now; it is asked again."""


@dataclass(frozen=True)
class Started:
    """What was started, or found."""

    handle: str | None = None
    """The engine's own name of it."""
    pid: int | None = None
    pid_started: float | None = None


class Launcher(Protocol):
    """Where runs are trained; any of its methods may raise `EngineAwayError`."""

    engine: str

    def start(self, entry: RunEntry) -> Started:
        """Start a run, or go on with one."""
        ...

    def measure(self, entry: RunEntry) -> Started:
        """Start the measuring of a run that is done."""
        ...

    def find(self, entry: RunEntry) -> Started | None:
        """What is at work on a run, whoever started it; None for nothing."""
        ...

    def is_alive(self, entry: RunEntry) -> bool:
        """Whether what was started is still at work."""
        ...

    def exit_code(self, entry: RunEntry) -> int | None:
        """How it ended, negative for a signal; None where that cannot be known any more."""
        ...

    def stop(self, entry: RunEntry, *, force: bool = False) -> None:
        """Ask it to write a checkpoint and end, or end it at once."""
        ...

    def clear(self, entry: RunEntry) -> None:
        """End what an ended run left behind."""
        ...


def log_path(entry: RunEntry) -> Path:
    """Where a run's output goes."""
    return Path(f"{entry.folder}.log")


def train_arguments(entry: RunEntry) -> list[str]:
    """Arguments of `audio-dcls` that begin a run, or go on with it where its folder has something to go on with."""
    folder = Path(entry.folder)
    if entry.kind == "study":
        return ["study", "run", "--resume", entry.folder, "--yes"]
    begun = folder / "config.yaml"
    if begun.is_file() and begun.stat().st_size:
        return ["train", "--resume", entry.folder]
    return ["train", entry.config_path, "--out", entry.folder, "--yes"]


def eval_arguments(entry: RunEntry) -> list[str]:
    """Arguments of `audio-dcls` that measure a run's seeds, class by class."""
    return ["eval", entry.folder]


def mark_start(entry: RunEntry) -> None:
    """Begin a new part of a run's log."""
    with log_path(entry).open("a", encoding="utf-8") as file:
        file.write(f"{START_MARK} {entry.attempts}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC ──\n")


class LocalLauncher:
    """Child processes on this machine.

    Args:
        python: the interpreter, which has the program installed.
        command: in place of the program's module, for tests.
    """

    engine = "local"

    def __init__(self, python: str = sys.executable, command: Sequence[str] | None = None) -> None:
        self.command = list(command) if command is not None else [python, "-m", "audio_dcls_cli"]
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def start(self, entry: RunEntry) -> Started:
        """Start a run's process.

        Raises:
            OSError: it cannot be started.
        """
        mark_start(entry)
        return self.spawn([*self.command, *train_arguments(entry)], log_path(entry))

    def measure(self, entry: RunEntry) -> Started:
        """Start `audio-dcls eval`, which writes the scores of every class into a run's folder.

        Raises:
            OSError: it cannot be started.
        """
        return self.spawn([*self.command, *eval_arguments(entry)], log_path(entry))

    def spawn(self, command: Sequence[str], log: Path) -> Started:
        """Start a process in a session of its own, its output appended to a file.

        Raises:
            OSError: it cannot be started.
        """
        with log.open("ab") as output:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        with self._lock:
            self._children[child.pid] = child
        process = psutil.Process(child.pid)
        with contextlib.suppress(psutil.Error, OSError):
            process.nice(NICENESS)
        with contextlib.suppress(OSError):  # Linux weighs sessions against each other by this alone (sched(7))
            Path(f"/proc/{child.pid}/autogroup").write_text(str(NICENESS), encoding="ascii")
        return Started(pid=child.pid, pid_started=process.create_time())

    def find(self, entry: RunEntry) -> Started | None:
        """The process that trains a run: it leads its session and has the run's folder on its command line."""
        for process in _processes_of(entry.folder):
            with contextlib.suppress(psutil.Error, OSError):
                if os.getsid(process.pid) == process.pid and {"train", "study"} & set(process.cmdline()):
                    return Started(pid=process.pid, pid_started=process.create_time())
        return None

    def is_alive(self, entry: RunEntry) -> bool:
        """Whether the process lives: not only one of its pid, and not as a zombie."""
        child = self._child(entry)
        if child is not None:
            return child.poll() is None
        return _same_process(entry) is not None

    def exit_code(self, entry: RunEntry) -> int | None:
        """Of a child of this very service; None for one that an earlier service started."""
        child = self._child(entry)
        return None if child is None else child.poll()

    def stop(self, entry: RunEntry, *, force: bool = False) -> None:
        """Send SIGTERM to the process, or SIGKILL to its whole session."""
        if not self.is_alive(entry) or entry.pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if force:
                os.killpg(entry.pid, signal.SIGKILL)
            else:
                os.kill(entry.pid, signal.SIGTERM)

    def clear(self, entry: RunEntry) -> None:
        """Kill workers that outlived the process, and forget it."""
        for process in _processes_of(entry.folder):
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != entry.pid and os.getsid(process.pid) == entry.pid:
                    process.kill()
        if entry.pid is not None:
            with self._lock:
                self._children.pop(entry.pid, None)

    def _child(self, entry: RunEntry) -> subprocess.Popen[bytes] | None:
        with self._lock:
            return None if entry.pid is None else self._children.get(entry.pid)


def _processes_of(folder: str) -> Iterator[psutil.Process]:
    """Live processes with a run's folder on their command line."""
    for process in psutil.process_iter(["cmdline", "status"]):
        if folder in (process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE:
            yield process


def _same_process(entry: RunEntry) -> psutil.Process | None:
    """The process whose pid was written down, if it is still that one."""
    if entry.pid is None or entry.pid_started is None:
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(entry.pid)
        is_same = abs(process.create_time() - entry.pid_started) <= CLOCK_TOLERANCE_S
        if is_same and process.status() != psutil.STATUS_ZOMBIE and entry.folder in process.cmdline():
            return process
    return None
