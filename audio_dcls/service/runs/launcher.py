"""Start the processes that train, and find them again after the service was killed.

A run's process is `audio-dcls train` or `audio-dcls study` in its own session, so it outlives the service. The run's
folder on its command line identifies it, even where its pid was not recorded.
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

START_MARK = "── start"
"""The beginning of the line that each start writes into the log."""
_NICENESS = 10
"""Training has a lower priority than the service's own answers."""
_CLOCK_TOLERANCE_S = 2.0
"""The start time of a process is computed from the boot time, which the system corrects now and then."""


class EngineAwayError(RunError):
    """The engine cannot be reached at the moment; the supervisor tries again."""


@dataclass(frozen=True)
class Started:
    """A process or job that was started, or found."""

    handle: str | None = None
    """The engine's name for the job."""
    pid: int | None = None
    pid_started: float | None = None


class Launcher(Protocol):
    """An engine that trains runs; each of its methods may raise `EngineAwayError`."""

    engine: str

    def start(self, entry: RunEntry) -> Started:
        """Start a run, or resume it."""
        ...

    def measure(self, entry: RunEntry) -> Started:
        """Start measuring a run that is done."""
        ...

    def find(self, entry: RunEntry) -> Started | None:
        """The process or job that trains a run, even if an earlier service started it; None if no process does."""
        ...

    def is_alive(self, entry: RunEntry) -> bool:
        """True if the process or job of a run still works."""
        ...

    def exit_code(self, entry: RunEntry) -> int | None:
        """The exit code of a run's process, negative for a signal; None if it is unknown."""
        ...

    def stop(self, entry: RunEntry, *, force: bool = False) -> None:
        """Make a run write a checkpoint and end; with `force`, end it at once."""
        ...

    def clear(self, entry: RunEntry) -> None:
        """Remove what an ended run left behind, such as worker processes."""
        ...


def log_path(entry: RunEntry) -> Path:
    """The file that a run's output is appended to."""
    return Path(f"{entry.folder}.log")


def train_arguments(entry: RunEntry) -> list[str]:
    """Arguments of `audio-dcls` that start a run, or resume it if its folder holds a config."""
    folder = Path(entry.folder)
    if entry.kind == "study":
        return ["study", "run", "--resume", entry.folder, "--yes"]
    config = folder / "config.yaml"
    if config.is_file() and config.stat().st_size:
        return ["train", "--resume", entry.folder]
    return ["train", entry.config_path, "--out", entry.folder, "--yes"]


def eval_arguments(entry: RunEntry) -> list[str]:
    """Arguments of `audio-dcls` that compute the scores per class of a run's seeds."""
    return ["eval", entry.folder]


def mark_start(entry: RunEntry) -> None:
    """Write the line that begins a new start into a run's log."""
    with log_path(entry).open("a", encoding="utf-8") as file:
        file.write(f"{START_MARK} {entry.attempts}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC ──\n")


class LocalLauncher:
    """Trains runs in child processes on this machine.

    Args:
        python: the interpreter; it has this program installed.
        command: the command to run instead of this program; for tests.
    """

    engine = "local"

    def __init__(self, python: str = sys.executable, command: Sequence[str] | None = None) -> None:
        self.command = list(command) if command is not None else [python, "-m", "audio_dcls_cli"]
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def start(self, entry: RunEntry) -> Started:
        """Start a run's process; raises OSError if that fails."""
        mark_start(entry)
        return self._spawn([*self.command, *train_arguments(entry)], log_path(entry))

    def measure(self, entry: RunEntry) -> Started:
        """Start `audio-dcls eval`, which writes scores per class into a run's folder; raises OSError if that fails."""
        return self._spawn([*self.command, *eval_arguments(entry)], log_path(entry))

    def _spawn(self, command: Sequence[str], log: Path) -> Started:
        """Start a process in its own session, and append its output to a file."""
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
            process.nice(_NICENESS)
        with contextlib.suppress(OSError):  # Linux compares sessions by this value alone (sched(7))
            Path(f"/proc/{child.pid}/autogroup").write_text(str(_NICENESS), encoding="ascii")
        return Started(pid=child.pid, pid_started=process.create_time())

    def find(self, entry: RunEntry) -> Started | None:
        """The process that trains a run: it leads its session and names the run's folder on its command line."""
        for process in _processes_of(entry.folder):
            with contextlib.suppress(psutil.Error, OSError):
                if os.getsid(process.pid) == process.pid and {"train", "study"} & set(process.cmdline()):
                    return Started(pid=process.pid, pid_started=process.create_time())
        return None

    def is_alive(self, entry: RunEntry) -> bool:
        """True if the run's own process is alive: not a zombie, nor another process with the same pid."""
        child = self._child(entry)
        if child is not None:
            return child.poll() is None
        return _same_process(entry) is not None

    def exit_code(self, entry: RunEntry) -> int | None:
        """The exit code of a child process; None for a process that an earlier service started."""
        child = self._child(entry)
        return None if child is None else child.poll()

    def stop(self, entry: RunEntry, *, force: bool = False) -> None:
        """Send SIGTERM to the process; with `force`, SIGKILL to its whole session."""
        if not self.is_alive(entry) or entry.pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if force:
                os.killpg(entry.pid, signal.SIGKILL)
            else:
                os.kill(entry.pid, signal.SIGTERM)

    def clear(self, entry: RunEntry) -> None:
        """Kill workers that outlived the process, and forget the process."""
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
    """Live processes that name a run's folder on their command line."""
    for process in psutil.process_iter(["cmdline", "status"]):
        if folder in (process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE:
            yield process


def _same_process(entry: RunEntry) -> psutil.Process | None:
    """The process whose pid was recorded, if the pid still belongs to it."""
    if entry.pid is None or entry.pid_started is None:
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(entry.pid)
        is_same = abs(process.create_time() - entry.pid_started) <= _CLOCK_TOLERANCE_S
        if is_same and process.status() != psutil.STATUS_ZOMBIE and entry.folder in process.cmdline():
            return process
    return None
