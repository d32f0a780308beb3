"""Files of results: `benchmarks/results/NAME.json` and `NAME.md`."""

from __future__ import annotations

import argparse
import json
import operator
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from audio_dcls.speed import BenchReport

RESULTS = Path(__file__).parents[1] / "results"
_SYMBOLS: dict[str, Callable[[float, float], bool]] = {"≥": operator.ge, "≤": operator.le, "<": operator.lt}


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a script's docstring as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def report_progress(text: str) -> None:
    """Write a line to standard error: standard output holds results only."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def verdict(value: float, symbol: str, target: float) -> str:
    """The word "met" or "missed".

    >>> verdict(1.2, "≤", 1.5), verdict(1.2, "≥", 1.5)
    ('met', 'missed')
    """
    return "met" if _SYMBOLS[symbol](value, target) else "missed"


def write_results(out: Path, report: Mapping[str, Any], text: str) -> None:
    """Write a report as JSON and Markdown, named after the benchmark, and print the Markdown.

    Args:
        out: the folder; it is made if it does not exist.
        report: plain values; `benchmark` is the name of the files.
        text: the Markdown.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{report['benchmark']}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def results_heading(description: str, machine: Mapping[str, Any]) -> str:
    r"""The beginning of a file of results: its claim, how it was measured, and on which machine.

    Args:
        description: a benchmark's docstring: "Claim: ..." in its first line, how it is measured in the next paragraph.
        machine: from `describe_machine`.

    >>> machine = {"processor": "A", "instructions": "B", "threads": 1, "python": "3.11", "versions": {"torch": "2.12"}}
    >>> print(results_heading("Claim: it is so.\n\nMeasured\nthus.\n\nUsage", machine))
    # It is so
    <BLANKLINE>
    Measured thus.
    <BLANKLINE>
    On A, B, threads 1; python 3.11, torch 2.12.
    <BLANKLINE>
    <BLANKLINE>
    """
    claim, method = description.strip().split("\n\n")[:2]
    claim = " ".join(claim.split()).removeprefix("Claim: ").rstrip(".")
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"# {claim[0].upper()}{claim[1:]}\n\n{' '.join(method.split())}\n\n"
        f"On {machine['processor']}, {machine['instructions']}, threads {machine['threads']}; "
        f"python {machine['python']}, {versions}.\n\n"
    )


def report_footer(report: BenchReport) -> list[str]:
    """The last lines of a table: machine, speed of matrix products, rounds, and every note once."""
    machine = report.machine
    peaks = ", ".join(f"{name} {value:.0f}" for name, value in report.peaks_gflops.items())
    return [
        "",
        f"{machine['processor']}, {machine['threads']} threads, {machine['instructions']}, torch "
        f"{machine['versions']['torch']}; matrix products {peaks} GFLOP/s; {report.settings['num_rounds']} rounds.",
        *(f"- {note}" for note in dict.fromkeys(note for case in report.cases for note in case.notes)),
    ]
