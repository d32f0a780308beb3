"""The audit's page: whole, self-contained, and with the numbers of the audit."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from audio_dcls.data.audit.outcomes import Outcome, OutcomeTable
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.rules import AuditRules, judge
from audio_dcls.data.audit.summary import AuditSummary, summarise_audit
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.inspection import audit_page
from audio_dcls.inspection.audit.figures import draw_coverage
from audio_dcls.labels import LabelSet

VOID = {"meta", "br"}
LABELS = LabelSet(("/t/a", "/t/b", "/t/c"), ("A <b>", "B & co", "C"))


def made_report(num_clips: int) -> ClipReport:
    """Every third clip missing, every fourth clipped, every fifth with the sound of the one before."""
    clips, outcomes = [], []
    for i in range(num_clips):
        split = "eval" if i % 2 else "train"
        labels = (0, 1) if i % 4 == 0 else (i % 2,)
        clips.append(Clip(f"id<{i}>", Path(f"/sounds/{i}.wav"), None, None, labels, split))
        content = np.random.default_rng(i - (i % 5 == 4)).bytes(16)
        missing = Outcome("missing", f"'/sounds/{i}.wav' does not exist; fetch it", -1, -1)
        present = Outcome("", "", 10, 10, 9.5 + 0.1 * (i % 7), 0.5 if i % 4 == 0 else 0.0, content)
        outcomes.append(missing if i % 3 == 0 else present)
    found = ClipReport(ClipTable.from_clips(clips), OutcomeTable.from_outcomes(outcomes))
    return judge(found, AuditRules(duplicates="drop", clip_s=10.0))


class Balance(HTMLParser):
    """Sees that every element is closed, and collects text and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def summary_of(report: ClipReport) -> AuditSummary:
    return summarise_audit(report, LABELS, "lists/<made>.csv")


@pytest.mark.parametrize("num_clips", [120, 1, 0])
def test_whole_and_self_contained(num_clips: int) -> None:
    report = made_report(num_clips)
    page = audit_page(report, summary_of(report))
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.count["svg"] == 5
    assert len(parser.ids) == len(set(parser.ids))
    assert not re.search(r"https?:|//[a-z]|@import|<link|<img|src=", page)
    assert "<made>" not in page
    assert "lists/&lt;made&gt;.csv" in page
    assert "prefers-color-scheme: dark" in page
    for name in set(re.findall(r'(?:href="#|url\(#)([\w-]+)', page)):
        assert name in parser.ids


def test_numbers_are_those_of_the_audit() -> None:
    report = made_report(120)
    summary = summary_of(report)
    page = audit_page(report, summary)
    assert f"<b>{len(report.usable)}</b><span>usable</span>" in page
    for split in summary.splits.values():
        assert split.clip_id_hash in page
    for clip in report.problems:
        assert clip.id.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "A &lt;b&gt;" in page
    assert summary.faults()["missing"] == 40
    assert sum(summary.faults().values()) == len(report.problems)
    assert sum(summary.warnings().values()) == len(report.warnings)
    pairs = summary.class_pairs(5)
    both = sum(set(clip.labels) == {0, 1} for clip in report.usable)
    assert [(pair.first, pair.second, pair.num_clips) for pair in pairs] == [(0, 1, both)]


def test_bars_add_up_to_the_whole() -> None:
    summary = summary_of(made_report(120))
    axes = draw_coverage(summary).axes[0]
    for place in range(2):
        bars = [bar for container in axes.containers for bar in (container.patches[place],)]
        assert sum(bar.get_width() for bar in bars) == pytest.approx(100)
