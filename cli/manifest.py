"""`audio-dcls manifest`: build manifests, check their clips, count their classes."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_dcls_cli import manifest_audit, manifest_hdf5, manifest_import, manifest_index, manifest_stats

if TYPE_CHECKING:
    from audio_dcls.labels import LabelSet

app = typer.Typer(no_args_is_help=True, help="Build and check manifests.")

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

    from audio_dcls.data.importers.audioset import import_audioset
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
manifest_hdf5.register(app)
manifest_stats.register(app)
manifest_audit.register(app)


def _label_set(path: Path | None) -> LabelSet:
    from audio_dcls.labels import LabelSet

    return LabelSet.audioset() if path is None else LabelSet.from_csv(path)
