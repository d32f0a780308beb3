"""An audit as one HTML page that needs no other file: tables that sort, figures, light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from audio_dcls.data.audit.problems import PROBLEM_KINDS, ClipProblem
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.summary import AuditSummary
from audio_dcls.inspection.audit import figures
from audio_dcls.inspection.page_templates import render_page

_MAX_PROBLEMS = 500
"""Clips listed by name; the CSV report has all."""
_MAX_PAIRS = 40

_Row = tuple[str, ...]


def audit_page(report: ClipReport, summary: AuditSummary) -> str:
    """The page of an audit, with its numbers from `summarise_audit`."""
    usable_s = report.outcomes.duration_s[report.outcomes.is_usable & (report.outcomes.duration_s > 0)]
    drawn = {
        "coverage": (
            figures.draw_coverage(summary),
            "Share of each split that can be used, and the faults of the rest",
        ),
        "classes": (figures.draw_class_counts(summary), "Clips of each class, listed and usable"),
        "worst": (figures.draw_worst_classes(summary), "Classes with the smallest usable share"),
        "pairs": (figures.draw_co_occurrence(summary), "Share of a class's clips that have another class too"),
        "lengths": (figures.draw_durations(usable_s), "Lengths of the usable clips"),
    }
    return render_page(
        "audit.html.j2",
        source=summary.source,
        figures={name: _inline_svg(figure, name, title) for name, (figure, title) in drawn.items()},
        tiles=_tiles(summary),
        split_rows=_splits(summary),
        kind_headers=("kind", "clips are", "clips", *summary.splits, "meaning", "remedy"),
        kind_rows=_kinds(summary),
        class_headers=(
            *("class", "identifier", "clips", "usable", "coverage"),
            *(f"{name}, usable" for name in summary.splits),
        ),
        class_rows=_classes(summary),
        pair_rows=_pairs(summary),
        faults=_problems(report.problems),
        warnings=_problems(report.warnings),
        is_number=_is_number,
    )


def _tiles(summary: AuditSummary) -> dict[str, str]:
    coverage = summary.coverage
    hours = sum(split.usable_s for split in summary.splits.values()) / 3600
    return {
        "clips listed": f"{coverage.num_listed:,}",
        "usable": f"{coverage.num_usable:,}",
        "coverage": _percent(coverage.num_usable, coverage.num_listed),
        "hours of sound": f"{hours:,.1f}",
        "classes with a clip": f"{(summary.class_usable() > 0).sum()} of {len(summary.labels)}",
        "warnings": f"{sum(summary.warnings().values()):,}",
    }


def _splits(summary: AuditSummary) -> list[_Row]:
    return [
        (
            name,
            f"{split.coverage.num_listed:,}",
            f"{split.coverage.num_usable:,}",
            _percent(split.coverage.num_usable, split.coverage.num_listed),
            f"{split.usable_s / 3600:,.2f}",
            split.clip_id_hash,
        )
        for name, split in summary.splits.items()
    ]


def _kinds(summary: AuditSummary) -> list[_Row]:
    about = {kind.name: (kind.meaning, kind.remedy) for kind in PROBLEM_KINDS}
    splits = summary.splits.values()
    found = {
        "left out": (summary.faults(), [split.faults for split in splits]),
        "used": (summary.warnings(), [split.warnings for split in splits]),
    }
    return [
        (name, what, f"{count:,}", *(f"{counts.get(name, 0):,}" for counts in by_split), *about.get(name, ("", "")))
        for what, (totals, by_split) in found.items()
        for name, count in totals.items()
    ]


def _classes(summary: AuditSummary) -> list[_Row]:
    listed, usable = summary.class_listed(), summary.class_usable()
    return [
        (
            summary.labels.names[c],
            summary.labels.ids[c],
            f"{listed[c]:,}",
            f"{usable[c]:,}",
            _percent(int(usable[c]), int(listed[c])),
            *(f"{split.class_usable[c]:,}" for split in summary.splits.values()),
        )
        for c in np.argsort(-listed, kind="stable").tolist()
    ]


def _pairs(summary: AuditSummary) -> list[_Row]:
    names = summary.labels.names
    return [
        (names[pair.first], names[pair.second], f"{pair.num_clips:,}", f"{pair.share:.0%}")
        for pair in summary.class_pairs(_MAX_PAIRS)
    ]


def _problems(problems: Sequence[ClipProblem]) -> dict[str, Any]:
    shown = problems[:_MAX_PROBLEMS]
    rows = [(problem.id, problem.split, problem.reason, problem.message) for problem in shown]
    return {"rows": rows, "num_more": len(problems) - len(shown)}


def _is_number(text: str) -> bool:
    """True if a cell belongs to a column of numbers."""
    return text[:1].isdigit() and text.rstrip("%").replace(",", "").replace(".", "").isdigit()


def _percent(part: int, whole: int) -> str:
    """A percentage with one decimal, never rounded up to 100; a dash if the whole is 0."""
    if not whole:
        return "–"
    return f"{min(part / whole, 0.999) if part < whole else 1:.1%}"


def _inline_svg(figure: Figure, name: str, title: str) -> Markup:
    """The figure as an `<svg>` element in the page's colours, without any address; screen readers read the title.

    Parts drawn in `INK` and `RULE` take the colours of the page. The name makes identifiers unique on the page.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"font:\s*([\d.]+px)[^;\"]*", r"font-size: \1", text)  # the page's own typeface
    text = re.sub(r'\bid="([\w.]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(#|href="#)([\w.]+)', rf"\g<1>{name}-\2", text)
    text = text.replace(figures.INK, "currentColor").replace(figures.RULE, "var(--rule)")
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"|height="[\d.]+pt" width="[\d.]+pt"', "", text, count=1)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1))  # matplotlib escapes texts
