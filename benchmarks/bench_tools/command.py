"""Time and memory of a command in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_dcls.errors import ArgumentError

# A process's highest memory includes that of the one it was forked from, so a small one stands between.
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
            f"`command` (={' '.join(map(str, command))}) ended with exit code {code}: {last or 'it says nothing'}; "
            "run it by hand"
        )
    return CommandCost(wall_s, cpu_s, highest / (2**20 if sys.platform == "darwin" else 1024))
