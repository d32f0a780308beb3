"""A process that supervises runs, for tests that kill it: `run_supervisor.py STATE_DIR HOW`.

HOW is `fake` or `real` for the trainer; `fake-unwritten` dies between starting a process and recording its pid.
It runs only the supervisor, so that it starts quickly.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from audio_dcls.service.runs.launcher import LocalLauncher, Started
from audio_dcls.service.runs.queue import RunEntry, RunQueue
from audio_dcls.service.runs.supervisor import Supervision, Supervisor

FAKE_TRAINER = Path(__file__).parents[2] / "service" / "runs" / "fake_trainer.py"
FAKE_COMMAND = [sys.executable, str(FAKE_TRAINER)]


class DyingLauncher(LocalLauncher):
    """Starts a process and kills its own before it can record the pid."""

    def start(self, entry: RunEntry) -> Started:
        """Start a process, and die."""
        super().start(entry)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def main() -> None:
    """Supervise until killed."""
    state_dir, how = Path(sys.argv[1]), sys.argv[2]
    launcher = LocalLauncher() if how == "real" else LocalLauncher(command=FAKE_COMMAND)
    if how == "fake-unwritten":
        launcher = DyingLauncher(command=FAKE_COMMAND)
    queue = RunQueue(state_dir / "queue.sqlite3")
    Supervisor(queue, {"local": launcher}, Supervision(poll_s=0.05, measures=False)).start()
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main()
