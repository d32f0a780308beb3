"""The benchmark of tagging compares figures with targets, and makes sounds of the right length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import tagging

from audio_dcls.speed import BenchReport, Case, Contender
from audio_dcls.speed.report import ratios_of


def report(long_mib: float) -> BenchReport:
    clips = (Contender("dcls fp32", (100.0, 200.0)), Contender("authors fp32", (5000.0, 8000.0)))
    start = (Contender("audio-dcls tag", (1200.0,)), Contender("import torch, timm", (1000.0,)))
    memory = (Contender("10 s", (900.0,)), Contender("3600 s", (long_mib,)))
    time_ms = (Contender("10 s", (10_000.0,)), Contender("3600 s", (45_900.0,)))
    cases = (
        Case("clip", "m", 1, "ms", clips, ratios_of(clips, [("authors fp32", "dcls fp32")])),
        Case("start", "m", 1, "ms", start, ratios_of(start, [("audio-dcls tag", "import torch, timm")])),
        Case("hour", "m, memory", 1, "MiB", memory, ()),
        Case("hour", "m, time", 1, "ms", time_ms, ()),
    )
    machine = {"processor": "x", "threads": 2, "instructions": "y", "versions": {"torch": "2"}}
    return BenchReport(machine, {"num_rounds": 2}, {"fp32": 100.0}, cases)


@pytest.mark.parametrize(("long_mib", "verdict"), [(1186.0, "met"), (1187.0, "missed")])
def test_the_table_of_tagging_holds_each_figure_against_its_target(long_mib: float, verdict: str) -> None:
    table = tagging.make_table(report(long_mib)).splitlines()
    assert "| m, 10 s | authors fp32 ÷ dcls fp32 | 45 | 42.5 – 47.5 | ≥ 60 | missed |" in table
    assert "| cold start | audio-dcls tag ÷ import torch, timm | 1.2 | 1.2 – 1.2 | ≤ 1.5 | met |" in table
    assert f"| peak MiB, minus the 900 for 10 s | {long_mib - 900:.0f} | ≤ 286 | {verdict} |" in table
    assert "| real-time factor: seconds of computing per second of sound, without start-up | 0.0100 | | |" in table
    assert "| m, 10 s, dcls fp32 | 150 | 6.67 |" in table


def test_sounds_are_as_long_as_asked(tmp_path: Path) -> None:
    path = tagging.write_sound(tmp_path / "a.wav", 11.5)
    samples, rate_hz = soundfile.read(path)
    assert samples.shape == (round(11.5 * rate_hz), 2) and rate_hz == 44_100
    assert 0.05 < np.abs(samples).max() < 1  # nothing clipped
