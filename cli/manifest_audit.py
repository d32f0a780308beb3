"""`audio-dcls manifest check` and `manifest stats`: what there is, what of it can be used, and why not the rest."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from audio_dcls.data.audit.report import ClipProblem, ClipReport
    from audio_dcls.data.audit.summary import AuditSummary
    from audio_dcls.labels import LabelSet

SOME_UNUSABLE = 1


class Duplicates(StrEnum):
    """What becomes of the same sound twice in a split."""

    keep = "keep"
    drop = "drop"


Source = Annotated[
    str,
    typer.Argument(metavar="MANIFEST", help="CSV, packed index, HDF5 file or packed folder.", show_default=False),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="CSV", help="A class_labels_indices.csv; if not given, AudioSet's 527 classes."),
]
Workers = Annotated[
    int, typer.Option(min=0, metavar="N", help="Threads that read files; 0 for none.", show_default="one a core")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Report = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="Write a row a clip here. Files unchanged since are not read again next time; nor after a kill.",
    ),
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with tables and plots here.")]
ClipLength = Annotated[
    float | None, typer.Option("--clip-s", help="Length that clips without times should have, in seconds.")
]
Tolerance = Annotated[float, typer.Option("--tolerance-s", min=0, help="Seconds by which a length may be off.")]
ClippedShare = Annotated[
    float, typer.Option("--clipped-share", min=0, max=1, help="Share of samples at full scale that is too much.")
]
HeldOut = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SPLIT",
        help="A split to measure on: its clips stay where another split has the same sound. May be repeated.",
        show_default="those named eval…, test…, val…",
    ),
]


def check(
    source: Source,
    report: Report = None,
    html: Html = None,
    labels: Labels = None,
    duplicates: Annotated[
        Duplicates, typer.Option(help="Of the same sound twice in a split, keep both or drop the later one.")
    ] = Duplicates.keep,
    held_out: HeldOut = None,
    clip_s: ClipLength = None,
    tolerance_s: Tolerance = 0.5,
    clipped_share: ClippedShare = 0.01,
    workers: Workers = os.cpu_count() or 1,
    json_: Json = False,
) -> None:
    """Decode every clip: how much of each split can be used, and why not the rest.

    Exit code 0 if every clip can be used, 1 if some cannot, 2 for a mistake. Warnings do not count.
    """
    import json

    from audio_dcls.data.audit.audit import audit_clips
    from audio_dcls.data.audit.rules import AuditRules, default_sides
    from audio_dcls.data.audit.summary import summarise_audit
    from audio_dcls.data.manifest_reader import load_manifest
    from audio_dcls_cli.manifest_tables import coverage_table, problem_table, warning_table
    from audio_dcls_cli.progress import clip_progress, say

    manifest = load_manifest(source, _label_set(labels))
    rules = AuditRules(
        clip_s=clip_s,
        length_tolerance_s=tolerance_s,
        clipped_share=clipped_share,
        duplicates=duplicates.value,
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


def stats(
    source: Source,
    top_k: Annotated[int, typer.Option(min=1, metavar="N", help="Classes and pairs to show.")] = 20,
    labels: Labels = None,
    json_: Json = False,
) -> None:
    """Count clips and classes of each split, and classes that go together; no sound file is opened."""
    import json

    from audio_dcls.data.audit.class_pairs import PAIRS_IN_JSON, class_pairs, pair_values
    from audio_dcls.data.manifest_reader import load_manifest
    from audio_dcls.data.table.label_matrix import co_occurrence
    from audio_dcls_cli.manifest_tables import class_table, pair_table

    manifest = load_manifest(source, _label_set(labels))
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


def register(app: typer.Typer) -> None:
    """Add the two commands."""
    app.command()(check)
    app.command()(stats)


def _write_page(path: Path, report: ClipReport, summary: AuditSummary) -> None:
    from audio_dcls.files import write_atomically
    from audio_dcls.inspection import audit_page

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


def _label_set(path: Path | None) -> LabelSet:
    from audio_dcls.labels import LabelSet

    return LabelSet.audioset() if path is None else LabelSet.from_csv(path)
