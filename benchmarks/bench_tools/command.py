"""Time and memory of a command in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_dcls.errors import ArgumentError

# The peak memory of a process includes that of the process it was forked from, so a small process starts the command.
_STARTER = """
import json, os, subprocess, sys, time
started_s = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
wall_s = time.perf_counter() - started_s
process.returncode = os.waitstatus_to_exitcode(status)
print(json.dumps([process.returncode, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


@dataclass(frozen=True)
class CommandCost:
    """The cost of a command.

    Attributes:
        wall_s: time from its start to its end.
        cpu_s: processor time of all its threads.
        peak_mib: peak of its resident memory.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


def measure_command(command: Sequence[str | Path]) -> CommandCost:
    """Run a command, discard its output, and measure its cost. This does not work on Windows.

    Args:
        command: the program and its arguments; no shell.

    Raises:
        ArgumentError: the command ended with an exit code other than 0.

    >>> cost = measure_command([sys.executable, "-c", "b'x' * (50 * 2**20)"])
    >>> cost.wall_s > 0 and 50 < cost.peak_mib < 100
    True
    """
    starter = [sys.executable, "-I", "-S", "-c", _STARTER, *map(str, command)]
    done = subprocess.run(starter, capture_output=True, text=True, check=True)
    code, wall_s, cpu_s, highest = json.loads(done.stdout)
    if code:
        last = "".join(done.stderr.strip().splitlines()[-1:])
        raise ArgumentError(
            f"`command` (={' '.join(map(str, command))}) ended with exit code {code}: {last or 'no message'}; "
            "run it by hand to see its output"
        )
    return CommandCost(wall_s, cpu_s, highest / (2**20 if sys.platform == "darwin" else 1024))
