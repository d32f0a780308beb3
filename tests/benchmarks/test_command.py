"""Time and memory of a command are what the system counts."""

from __future__ import annotations

import resource
import sys

import pytest

from audio_dcls.errors import ArgumentError
from bench_tools.command import measure_command


def test_a_command_is_measured_as_the_system_counts() -> None:
    small = measure_command([sys.executable, "-c", "pass"])
    large = measure_command([sys.executable, "-c", "a = b'x' * (200 * 2**20)"])
    assert 150 < large.peak_mib - small.peak_mib < 250
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = measure_command([sys.executable, "-c", "for _ in range(10**7): pass"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert 0.5 * spent_s < busy.cpu_s <= spent_s  # the rest is the process that starts it
    assert busy.wall_s > 0.5 * busy.cpu_s


def test_a_command_that_fails_is_refused_with_its_last_words() -> None:
    with pytest.raises(ArgumentError, match=r"exit code 3: lost"):
        measure_command([sys.executable, "-c", "import sys; sys.stderr.write('x\\nlost'); sys.exit(3)"])
