"""Benchmarks of speed and memory against named peers, in one run."""

from audio_dcls.speed.figure import draw_report
from audio_dcls.speed.report import BenchReport, Case, Contender, Ratio
from audio_dcls.speed.settings import PEER_NAMES, SUITE_NAMES, BenchSettings
from audio_dcls.speed.suites import run_benchmarks, run_in_parts

__all__ = [
    "PEER_NAMES",
    "SUITE_NAMES",
    "BenchReport",
    "BenchSettings",
    "Case",
    "Contender",
    "Ratio",
    "draw_report",
    "run_benchmarks",
    "run_in_parts",
]
