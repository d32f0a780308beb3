"""The audit of a manifest: every clip is read once, compared with the others, and reported. A killed audit resumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.audit.journal import CheckJournal
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.report_file import write_report
from audio_dcls.data.audit.rules import AuditRules, judge
from audio_dcls.data.table.clip import Clip


def audit_clips(
    clips: Sequence[Clip],
    report: str | Path | None = None,
    *,
    rules: AuditRules | None = None,
    num_workers: int = 0,
    trust_packs: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> ClipReport:
    """Check clips as `check_clips` does, judge them, and write the report, a CSV file.

    Outcomes of unchanged files, from this file and from the journal of a killed audit, are kept; the complete report
    replaces it at the end. Raise an ArgumentError if `num_workers` is negative or `rules` names a split that does not
    exist, and a ManifestError if the report or its journal cannot be read or written.
    """
    journal = None if report is None else CheckJournal(Path(report))
    found = check_clips(
        clips,
        num_workers=num_workers,
        previous=() if journal is None else journal.known_reports(),
        trust_packs=trust_packs,
        journal=journal,
        on_progress=on_progress,
    )
    judged = judge(found, rules or AuditRules())
    if journal is not None:
        write_report(judged, journal.report)
        journal.remove()
    return judged
