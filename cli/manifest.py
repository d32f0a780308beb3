"""`audio-dcls manifest`: build manifests, check their clips, count their classes."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_dcls_cli import manifest_import, manifest_index, manifest_stats

if TYPE_CHECKING:
    from audio_dcls.labels import LabelSet

SOME_UNUSABLE = 1

app = typer.Typer(no_args_is_help=True, help="Build and check manifests.")

CsvFile = Annotated[Path, typer.Argument(metavar="CSV", help="The manifest.", show_default=False)]
LabelsFile = Annotated[
    Path | None,
    typer.Option("--labels", metavar="CSV", help="A class_labels_indices.csv; if not given, AudioSet's 527 classes."),
]
Workers = Annotated[
    int, typer.Option(min=0, metavar="N", help="Threads that read files; 0 for none.", show_default="one a core")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Holding(StrEnum):
    """What a file named by its YTID alone holds."""

    auto = "auto"
    segment = "segment"
    recording = "recording"


@app.command()
def audioset(
    segments: Annotated[list[Path], typer.Option(metavar="FILE", help="AudioSet segments CSV; may be repeated.")],
    audio: Annotated[list[Path], typer.Option(metavar="DIR", help="Folder to search, at any depth; may be repeated.")],
    out: Annotated[Path, typer.Option(metavar="CSV", help="Manifest to write.")],
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Split of each --segments, in turn; if not given, its name less '_segments'."
        ),
    ] = None,
    holds: Annotated[
        Holding, typer.Option(help="What YTID.wav holds: the segment, or the whole recording; auto goes by its length.")
    ] = Holding.auto,
    labels: LabelsFile = None,
    workers: Workers = os.cpu_count() or 1,
    json_: Json = False,
) -> None:
    """Build a manifest from AudioSet's segments lists and a folder of audio.

    Finds YTID.wav, YYTID.wav, YTID_start_end.flac and the like. A segment without a file gets a row too.
    """
    import json

    from audio_dcls.data.audioset import import_audioset
    from audio_dcls.errors import ArgumentError
    from audio_dcls_cli.progress import clip_progress, say

    splits = split or [path.stem.removesuffix("_segments") for path in segments]
    if len(splits) != len(segments):
        raise ArgumentError(
            f"--split is given {len(splits)} times, --segments {len(segments)} times; give one for each"
        )
    with clip_progress("Looking up segments", None, quiet=json_) as advance:
        result = import_audioset(
            list(zip(segments, splits, strict=True)),
            audio,
            _label_set(labels),
            holding=holds.value,
            num_workers=workers,
            on_progress=advance,
        )
        result.manifest.save(out)
    counts = {
        "segments": len(result.manifest.clips),
        "found": result.num_found,
        "missing": result.num_missing,
        "parts_of_recordings": result.num_recordings,
        "with_several_files": len(result.repeated),
        "files_of_no_segment": result.num_unlisted,
    }
    if json_:
        typer.echo(json.dumps({"manifest": str(out), "splits": result.manifest.splits(), **counts}, indent=2))
        return
    say(f"{counts['segments']} segments: {counts['found']} with a file, {counts['missing']} missing")
    if result.num_recordings:
        say(f"{result.num_recordings} are parts of longer recordings and keep their times")
    if result.repeated:
        say(f"{len(result.repeated)} have several files, such as {result.repeated[0]}; the first by name is taken")
    if result.num_unlisted:
        say(f"{result.num_unlisted} audio files belong to no segment")
    say(f"Wrote {out}; next: audio-dcls manifest check {out}")


manifest_import.register(app)
manifest_index.register(app)
manifest_stats.register(app)


@app.command()
def check(
    csv: CsvFile,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="Write a row a clip here; files unchanged since are not read again next time."
        ),
    ] = None,
    labels: LabelsFile = None,
    workers: Workers = os.cpu_count() or 1,
    json_: Json = False,
) -> None:
    """Decode every clip: how much of each split can be used, and why not the rest.

    Exit code 0 if every clip can be used, 1 if some cannot, 2 for a mistake.
    """
    import json
    from collections import Counter
    from dataclasses import asdict

    from audio_dcls.data.check import ClipReport, check_clips
    from audio_dcls.data.manifest import Manifest
    from audio_dcls_cli.manifest_tables import coverage_table, problem_table
    from audio_dcls_cli.progress import clip_progress, say

    manifest = Manifest.load(csv, _label_set(labels))
    previous = ClipReport.from_csv(report) if report is not None and report.is_file() else None
    with clip_progress(f"Checking {csv}", len(manifest.clips), quiet=json_) as advance:
        result = check_clips(manifest.clips, num_workers=workers, previous=previous, on_progress=advance)
    if report is not None:
        result.to_csv(report)
    if json_:
        document = {
            "manifest": str(csv),
            "num_listed": len(result.clips),
            "num_usable": len(result.usable),
            "splits": {name: {**asdict(c), "fraction": c.fraction} for name, c in result.coverage().items()},
            "reasons": dict(Counter(problem.reason for problem in result.problems).most_common()),
            "problems": [{**asdict(problem), "path": str(problem.path)} for problem in result.problems],
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        coverage_table(result)
        problem_table(result)
        if report is not None:
            say(f"Every clip: {report}")
    if result.problems:
        raise typer.Exit(SOME_UNUSABLE)


@app.command()
def stats(
    csv: CsvFile,
    top_k: Annotated[int, typer.Option(min=1, metavar="N", help="Classes to show, the most frequent first.")] = 20,
    labels: LabelsFile = None,
    json_: Json = False,
) -> None:
    """Count clips and classes of each split; no sound file is opened."""
    import json

    from audio_dcls.data.manifest import Manifest
    from audio_dcls_cli.manifest_tables import class_table

    manifest = Manifest.load(csv, _label_set(labels))
    counts = manifest.class_counts()
    if not json_:
        class_table(manifest, counts, top_k)
        return
    classes = [
        {"mid": mid, "name": name, **{split: int(count[index]) for split, count in counts.items()}}
        for index, (mid, name) in enumerate(zip(manifest.labels.ids, manifest.labels.names, strict=True))
    ]
    typer.echo(json.dumps({"manifest": str(csv), "splits": manifest.splits(), "classes": classes}, indent=2))


def _label_set(path: Path | None) -> LabelSet:
    from audio_dcls.labels import LabelSet

    return LabelSet.audioset() if path is None else LabelSet.from_csv(path)
