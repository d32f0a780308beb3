"""An audit as one HTML file: tables that sort, figures, light and dark; it asks for nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np

from audio_dcls.data.audit.problems import PROBLEM_KINDS, ClipProblem
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.summary import AuditSummary
from audio_dcls.inspection.audit.figures import (
    draw_class_counts,
    draw_co_occurrence,
    draw_coverage,
    draw_durations,
    draw_worst_classes,
)
from audio_dcls.inspection.audit.style import SCRIPT, STYLE
from audio_dcls.inspection.audit.svg import inline_svg

MAX_PROBLEMS = 500
"""Clips listed by name; the CSV report has all."""
MAX_PAIRS = 40

Cell = str | int | float


def audit_page(report: ClipReport, summary: AuditSummary) -> str:
    """The page.

    Args:
        report: the audit.
        summary: its numbers, by `summarise_audit`.
    """
    usable_s = report.outcomes.duration_s[report.outcomes.is_usable & (report.outcomes.duration_s > 0)]
    figures = {
        "coverage": (draw_coverage(summary), "Share of each split that can be used, and the faults of the rest"),
        "classes": (draw_class_counts(summary), "Clips of each class, listed and usable"),
        "worst": (draw_worst_classes(summary), "Classes with the smallest usable share"),
        "pairs": (draw_co_occurrence(summary), "Share of a class's clips that have another class too"),
        "lengths": (draw_durations(usable_s), "Lengths of the usable clips"),
    }
    svg = {name: inline_svg(figure, name, title) for name, (figure, title) in figures.items()}
    parts = [
        _header(summary),
        _section("Splits", _splits(summary), svg["coverage"]),
        _section("What was found", _kinds(summary)),
        _section("Classes", svg["classes"], _classes(summary)),
        _section("Classes with the smallest usable share", svg["worst"]),
        _section("Classes that go together", svg["pairs"], _pairs(summary)),
        _section("Lengths", svg["lengths"]),
        _section("Clips that cannot be used", _problems(report.problems)),
        _section("Warnings: used, and worth a look", _problems(report.warnings)),
    ]
    title = html.escape(f"Audit of {summary.source}")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n{''.join(parts)}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _header(summary: AuditSummary) -> str:
    coverage = summary.coverage
    hours = sum(split.usable_s for split in summary.splits.values()) / 3600
    num_classes = int((summary.class_usable() > 0).sum())
    tiles = {
        "clips listed": f"{coverage.num_listed:,}",
        "usable": f"{coverage.num_usable:,}",
        "coverage": _percent(coverage.num_usable, coverage.num_listed),
        "hours of sound": f"{hours:,.1f}",
        "classes with a clip": f"{num_classes} of {len(summary.labels)}",
        "warnings": f"{sum(summary.warnings().values()):,}",
    }
    shown = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in tiles.items())
    return f"<h1>Audit</h1>\n<p class=source>{html.escape(summary.source)}</p>\n<div class=tiles>{shown}</div>\n"


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{''.join(parts)}\n</section>\n"


def _splits(summary: AuditSummary) -> str:
    rows = [
        (
            name,
            split.coverage.num_listed,
            split.coverage.num_usable,
            _percent(split.coverage.num_usable, split.coverage.num_listed),
            f"{split.usable_s / 3600:,.2f}",
            split.clip_id_hash,
        )
        for name, split in summary.splits.items()
    ]
    note = (
        "<p>The id hash names the set of usable clips. Every score carries that of the clips it was measured on: two "
        "scores of the same hash are of the same clips.</p>"
    )
    return _table(("split", "clips", "usable", "coverage", "hours", "id hash"), rows) + note


def _kinds(summary: AuditSummary) -> str:
    faults, warnings = summary.faults(), summary.warnings()
    if not faults and not warnings:
        return "<p>Nothing: every clip can be used, and there is no warning.</p>"
    about = {kind.name: kind for kind in PROBLEM_KINDS}
    rows = []
    for counts, what in ((faults, "left out"), (warnings, "used")):
        for name, count in counts.items():
            kind = about.get(name)
            by_split = [
                (split.faults if what == "left out" else split.warnings).get(name, 0)
                for split in summary.splits.values()
            ]
            rows.append((name, what, count, *by_split, kind.meaning if kind else "", kind.remedy if kind else ""))
    return _table(("kind", "clips are", "clips", *summary.splits, "meaning", "remedy"), rows)


def _classes(summary: AuditSummary) -> str:
    listed, usable = summary.class_listed(), summary.class_usable()
    headers = ("class", "identifier", "clips", "usable", "coverage", *(f"{name}, usable" for name in summary.splits))
    rows = [
        (
            summary.labels.names[c],
            summary.labels.ids[c],
            int(listed[c]),
            int(usable[c]),
            _percent(int(usable[c]), int(listed[c])),
            *(int(split.class_usable[c]) for split in summary.splits.values()),
        )
        for c in np.argsort(-listed, kind="stable").tolist()
    ]
    return _folded(f"All {len(rows)} classes", _table(headers, rows))


def _pairs(summary: AuditSummary) -> str:
    names = summary.labels.names
    rows = [
        (names[pair.first], names[pair.second], pair.num_clips, f"{pair.share:.0%}")
        for pair in summary.class_pairs(MAX_PAIRS)
    ]
    return _folded("Most frequent pairs", _table(("class", "class", "clips of both", "of the rarer one"), rows))


def _problems(problems: Sequence[ClipProblem]) -> str:
    if not problems:
        return "<p>None.</p>"
    rows = [(problem.id, problem.split, problem.reason, problem.message) for problem in problems[:MAX_PROBLEMS]]
    more = len(problems) - len(rows)
    note = f"<p>… and {more:,} more; the CSV report has all of them.</p>" if more else ""
    return _table(("clip", "split", "kind", "what is wrong"), rows) + note


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>\n"


def _table(headers: Iterable[str], rows: Iterable[tuple[Cell, ...]]) -> str:
    """A table; columns of numbers are set to the right."""
    head = "".join(f'<th scope="col"><button>{html.escape(name)}</button></th>' for name in headers)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return f"<div class=scroll><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        is_number = value[:1].isdigit() and value.rstrip("%").replace(",", "").replace(".", "").isdigit()
        return f"<td class=number>{value}</td>" if is_number else f"<td>{html.escape(value)}</td>"
    return f"<td class=number>{value:,}</td>"


def _percent(part: int, whole: int) -> str:
    """One decimal, never rounded up to 100; a dash for a share of nothing."""
    if not whole:
        return "–"
    return f"{min(part / whole, 0.999) if part < whole else 1:.1%}"
