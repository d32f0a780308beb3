"""A process that takes care of runs, for tests that kill one: `run_server.py STATE_DIR HOW`.

HOW is `fake` or `real` for the trainer; `fake-unwritten` dies between starting a process and writing down its pid.
It is the supervisor alone, for the sake of a quick start.
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

FAKE_COMMAND = [sys.executable, str(Path(__file__).with_name("fake_trainer.py"))]


class DyingLauncher(LocalLauncher):
    """Starts a process and has its own killed before it can tell."""

    def start(self, entry: RunEntry) -> Started:
        """Start, and die."""
        super().start(entry)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def main() -> None:
    """Serve until killed."""
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
