"""What a job of an engine runs: a command, its output appended to a file, stopped by the appearance of another file.

An engine may give a job that it stops few seconds; a file leaves it the time to write a checkpoint, on any machine that
sees the folder. `python -m audio_dcls.service.runs.job_entry LOG STOP_FILE COMMAND...`
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

POLL_S = 0.5
SIGNALLED = 128
"""Exit codes of what a signal ended begin here, as in a shell."""


def main(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    log, stop_file, command = Path(arguments[0]), Path(arguments[1]), arguments[2:]
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.terminate())
    is_asked = False
    while True:
        try:
            code = child.wait(POLL_S)
        except subprocess.TimeoutExpired:
            if not is_asked and stop_file.exists():
                is_asked = True
                child.terminate()
        else:
            return code if code >= 0 else SIGNALLED - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
