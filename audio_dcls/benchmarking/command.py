"""Time and memory of a command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_dcls.errors import ArgumentError

MIB = 2**20


@dataclass(frozen=True)
class CommandCost:
    """What a command took.

    Attributes:
        wall_s: from its start to its end.
        cpu_s: of all its threads.
        peak_mib: resident memory at most.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


def measure_command(command: Sequence[str | Path]) -> CommandCost:
    """Run a command, its output thrown away, and say what it took. Not on Windows.

    Args:
        command: the program and its arguments; no shell.

    Raises:
        ArgumentError: it ended with another exit code than 0.

    >>> cost = measure_command([sys.executable, "-c", "bytes(50 * 2**20)"])
    >>> cost.wall_s > 0 and cost.peak_mib > 50
    True
    """
    with tempfile.TemporaryFile() as errors:
        started_s = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise ArgumentError(
                f"`command` (={' '.join(map(str, command))}) ended with exit code {process.returncode}: "
                f"{''.join(last) or 'it says nothing'}; run it by hand"
            )
    unit = 1 if sys.platform == "darwin" else 1024
    return CommandCost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / MIB)
