"""Tables of what is in a manifest, and of what can be used of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from audio_dcls_cli.progress import out, say

if TYPE_CHECKING:
    import numpy as np

    from audio_dcls.data.check import ClipReport
    from audio_dcls.data.manifest import Manifest

PROBLEMS_SHOWN = 10


def coverage_table(report: ClipReport) -> None:
    """A row a split: clips listed, clips that can be used."""
    table = _table("split")
    for header in ("clips", "usable", "coverage"):
        table.add_column(header, justify="right")
    for split, coverage in report.coverage().items():
        table.add_row(Text(split), str(coverage.num_listed), str(coverage.num_usable), _percent(coverage.fraction))
    if report.clips:
        num_listed, num_usable = len(report.clips), len(report.usable)
        table.add_row("all", str(num_listed), str(num_usable), _percent(num_usable / num_listed), style="bold")
    out.print(table)


def problem_table(report: ClipReport) -> None:
    """A row a reason, and the first clips that cannot be used; nothing where all can."""
    if not report.problems:
        return
    table = _table("reason")
    splits = list(report.coverage())
    for header in splits:
        table.add_column(Text(header), justify="right")
    counts = Counter((problem.reason, problem.split) for problem in report.problems)
    for reason, _ in Counter(problem.reason for problem in report.problems).most_common():
        table.add_row(reason, *(str(counts[reason, split]) for split in splits))
    out.print()
    out.print(table)
    out.print()
    for problem in report.problems[:PROBLEMS_SHOWN]:
        out.print(f"{problem.id} ({problem.reason}): {problem.message}", markup=False, soft_wrap=True)
    if len(report.problems) > PROBLEMS_SHOWN:
        say(f"… and {len(report.problems) - PROBLEMS_SHOWN} more; --report writes all of them")


def class_table(manifest: Manifest, counts: dict[str, np.ndarray], top_k: int) -> None:
    """Clips and labels of each split, then a row a class, the most frequent first."""
    table = _table("split")
    for header in ("clips", "labels a clip", "classes"):
        table.add_column(header, justify="right")
    for split, num_clips in manifest.splits().items():
        count = counts[split]
        classes = f"{int((count > 0).sum())} of {len(manifest.labels)}"
        table.add_row(Text(split), str(num_clips), f"{count.sum() / num_clips:.2f}", classes)
    out.print(table)
    if not counts:
        return
    totals = [sum(int(count[index]) for count in counts.values()) for index in range(len(manifest.labels))]
    order = [index for index in sorted(range(len(totals)), key=lambda index: -totals[index]) if totals[index] > 0]
    table = _table("class")
    for split in counts:
        table.add_column(Text(split), justify="right")
    for index in order[:top_k]:
        table.add_row(Text(manifest.labels.names[index]), *(str(count[index]) for count in counts.values()))
    out.print()
    out.print(table)
    if len(order) > top_k:
        say(f"… and {len(order) - top_k} more classes; --top-k shows them")


def _table(first: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    return table


def _percent(fraction: float) -> str:
    """One decimal, never rounded up to 100."""
    return f"{min(fraction, 0.999) if fraction < 1 else 1:.1%}"
