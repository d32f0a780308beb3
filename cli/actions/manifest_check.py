"""`audio-dcls manifest check` and `manifest stats`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import typer

from audio_dcls.data.audit.audit import audit_clips
from audio_dcls.data.audit.problems import ClipProblem
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.rules import AuditRules, default_sides
from audio_dcls.data.audit.summary import PAIRS_IN_JSON, AuditSummary, class_pairs, pair_values, summarise_audit
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.table.label_matrix import co_occurrence
from audio_dcls.files import write_atomically
from audio_dcls.inspection import audit_page
from audio_dcls_cli.inputs import label_set
from audio_dcls_cli.screen.manifest_tables import class_table, coverage_table, pair_table, problem_table, warning_table
from audio_dcls_cli.screen.progress import clip_progress, say

SOME_UNUSABLE = 1


def check(
    *,
    source: str,
    report: Path | None,
    html: Path | None,
    labels: Path | None,
    duplicates: Literal["keep", "drop"],
    held_out: list[str] | None,
    clip_s: float | None,
    tolerance_s: float,
    clipped_share: float,
    workers: int,
    json_: bool,
) -> None:
    """Decode every clip; report how much of each split can be used, and why the rest cannot."""
    manifest = load_manifest(source, label_set(labels))
    rules = AuditRules(
        clip_s=clip_s,
        length_tolerance_s=tolerance_s,
        clipped_share=clipped_share,
        duplicates=duplicates,
        sides=default_sides(list(manifest.splits()), held_out),
    )
    with clip_progress(f"Checking {source}", len(manifest.clips), quiet=json_) as advance:
        result = audit_clips(manifest.clips, report, rules=rules, num_workers=workers, on_progress=advance)
    summary = summarise_audit(result, manifest.labels, source)
    if html is not None:
        _write_page(html, result, summary)
    if json_:
        problems = [{**_values(problem), "is_fault": True} for problem in result.problems]
        problems += [{**_values(warning), "is_fault": False} for warning in result.warnings]
        typer.echo(json.dumps({**summary.to_json_dict(), "problems": problems}, indent=2))
    else:
        coverage_table(summary)
        problem_table(result, summary)
        warning_table(result, summary)
        for path, what in ((report, "Every clip"), (html, "Page")):
            if path is not None:
                say(f"{what}: {path}")
    if result.problems:
        raise typer.Exit(SOME_UNUSABLE)


def stats(*, source: str, top_k: int, labels: Path | None, json_: bool) -> None:
    """Count the clips and classes of each split, and the classes that occur together."""
    manifest = load_manifest(source, label_set(labels))
    counts = manifest.class_counts()
    together = co_occurrence(manifest.table, len(manifest.labels))
    if not json_:
        class_table(manifest, counts, top_k)
        pair_table(manifest.labels, class_pairs(together, top_k))
        return
    ids, names = manifest.labels.ids, manifest.labels.names
    classes = [
        {"mid": mid, "name": name, **{split: int(count[index]) for split, count in counts.items()}}
        for index, (mid, name) in enumerate(zip(ids, names, strict=True))
    ]
    pairs = pair_values(class_pairs(together, PAIRS_IN_JSON), manifest.labels)
    document = {"manifest": source, "splits": manifest.splits(), "classes": classes, "class_pairs": pairs}
    typer.echo(json.dumps(document, indent=2))


def _write_page(path: Path, report: ClipReport, summary: AuditSummary) -> None:

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, audit_page(report, summary).encode("utf-8", "replace"))


def _values(problem: ClipProblem) -> dict[str, str]:
    return {
        "id": problem.id,
        "path": str(problem.path),
        "split": problem.split,
        "reason": problem.reason,
        "message": problem.message,
    }
