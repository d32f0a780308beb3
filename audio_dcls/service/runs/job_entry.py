"""Run a command as the job of an engine: append its output to a file, and stop it when another file appears.

An engine may give a job only a few seconds to stop. The file gives the command the time to write a checkpoint, on any
machine that sees the folder. `python -m audio_dcls.service.runs.job_entry LOG STOP_FILE COMMAND...`
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

_POLL_S = 0.5
_SIGNALLED = 128
"""A command ended by signal n has exit code 128 + n, as in a shell."""


def main(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
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
    is_stopping = False
    while True:
        try:
            code = child.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if not is_stopping and stop_file.exists():
                is_stopping = True
                child.terminate()
        else:
            return code if code >= 0 else _SIGNALLED - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
