"""Tables of the clips and classes of a manifest, and of the clips that can be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from audio_dcls_cli.screen.progress import out, say

if TYPE_CHECKING:
    import numpy as np

    from audio_dcls.data.audit.problems import ClipProblem
    from audio_dcls.data.audit.report import ClipReport
    from audio_dcls.data.audit.summary import AuditSummary, ClassPair
    from audio_dcls.data.manifest import Manifest
    from audio_dcls.labels import LabelSet

PROBLEMS_SHOWN = 10


def coverage_table(summary: AuditSummary) -> None:
    """Print one row per split: listed clips, usable clips, and the hash of their ids."""
    table = _table("split")
    for header in ("clips", "usable", "coverage", "clip ids"):
        table.add_column(header, justify="right")
    for name, split in summary.splits.items():
        part = split.coverage
        row = (str(part.num_listed), str(part.num_usable), _percent(part.fraction), split.clip_id_hash)
        table.add_row(Text(name), *row)
    whole = summary.coverage
    if whole.num_listed:
        row = (str(whole.num_listed), str(whole.num_usable), _percent(whole.fraction), "")
        table.add_row("all", *row, style="bold")
    out.print(table)


def problem_table(report: ClipReport, summary: AuditSummary) -> None:
    """Print one row per kind of fault, and the first clips that cannot be used, if there are any."""
    counts = {name: split.faults for name, split in summary.splits.items()}
    _kind_table("left out", summary.faults(), counts, report.problems)


def warning_table(report: ClipReport, summary: AuditSummary) -> None:
    """Print one row per kind of warning, and the first clips that have one, if there are any."""
    counts = {name: split.warnings for name, split in summary.splits.items()}
    _kind_table("used, with a warning", summary.warnings(), counts, report.warnings)


def _kind_table(
    title: str, kinds: Iterable[str], counts: Mapping[str, Mapping[str, int]], problems: Sequence[ClipProblem]
) -> None:
    if not problems:
        return
    table = _table(title)
    for split in counts:
        table.add_column(Text(split), justify="right")
    for kind in kinds:
        table.add_row(kind, *(str(of_split.get(kind, 0)) for of_split in counts.values()))
    out.print()
    out.print(table)
    out.print()
    for problem in problems[:PROBLEMS_SHOWN]:
        out.print(f"{problem.id} ({problem.reason}): {problem.message}", markup=False, soft_wrap=True)
    if len(problems) > PROBLEMS_SHOWN:
        say(f"… and {len(problems) - PROBLEMS_SHOWN} more; --report writes all of them")


def pair_table(labels: LabelSet, pairs: Sequence[ClassPair]) -> None:
    """Print one row per pair of classes that occur in the same clips, if there are any."""
    if not pairs:
        return
    table = _table("classes together")
    for header in ("clips", "of the rarer one"):
        table.add_column(header, justify="right")
    for pair in pairs:
        names = Text(f"{labels.names[pair.first]} + {labels.names[pair.second]}")
        table.add_row(names, str(pair.num_clips), f"{pair.share:.0%}")
    out.print()
    out.print(table)


def class_table(manifest: Manifest, counts: dict[str, np.ndarray], top_k: int) -> None:
    """Print the clips and labels of each split, then one row per class, the most frequent first."""
    table = _table("split")
    for header in ("clips", "labels per clip", "classes"):
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
    """A percentage with one decimal, never rounded up to 100."""
    return f"{min(fraction, 0.999) if fraction < 1 else 1:.1%}"
