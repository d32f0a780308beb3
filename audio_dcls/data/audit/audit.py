"""The audit of a manifest: every clip read once, compared with the others, and reported; goes on after a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.audit.journal import CheckJournal, known_reports
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.rules import AuditRules, judge
from audio_dcls.data.table.clip_table import Clip


def audit_clips(
    clips: Sequence[Clip],
    report: str | Path | None = None,
    *,
    rules: AuditRules | None = None,
    num_workers: int = 0,
    trust_packs: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> ClipReport:
    """Check clips, judge them, and write the report.

    Args:
        clips: clips to audit.
        report: CSV file. What it, and the journal of an audit that was killed, say of files that have not changed is
            kept; the whole report replaces it at the end. None keeps nothing.
        rules: what counts as wrong; the defaults of `AuditRules` where left out.
        num_workers: threads that decode; 0 decodes in this one.
        trust_packs: whether rows of packed shards count as usable unread.
        on_progress: called with the number of clips done since the last call.

    Raises:
        ArgumentError: `num_workers` is negative, or `rules` names a split that is not there.
        ManifestError: the report or its journal cannot be read or written.
    """
    rules = rules or AuditRules()
    if report is None:
        found = check_clips(clips, num_workers=num_workers, trust_packs=trust_packs, on_progress=on_progress)
        return judge(found, rules)
    path = Path(report)
    journal = CheckJournal(path)
    found = check_clips(
        clips,
        num_workers=num_workers,
        previous=known_reports(path, journal),
        trust_packs=trust_packs,
        journal=journal,
        on_progress=on_progress,
    )
    judged = judge(found, rules)
    judged.to_csv(path)
    journal.remove()
    return judged
