"""`audio-dcls manifest`: build manifests, check their clips, count their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from audio_dcls_cli.commands import manifest_import
from audio_dcls_cli.options import NUM_THREADS, Json, LabelsFile, ManifestOut, Source, Workers

app = typer.Typer(no_args_is_help=True, help="Build and check manifests.")


@app.command()
def audioset(
    segments: Annotated[list[Path], typer.Option(metavar="FILE", help="AudioSet segments CSV; may be repeated.")],
    audio: Annotated[list[Path], typer.Option(metavar="DIR", help="Folder to search, at any depth; may be repeated.")],
    out: ManifestOut,
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Split of each --segments, in order (default: its name less '_segments')."),
    ] = None,
    holds: Annotated[
        Literal["auto", "segment", "recording"],
        typer.Option(help="What YTID.wav holds: the segment, or the whole recording; auto decides by its length."),
    ] = "auto",
    labels: LabelsFile = None,
    workers: Workers = NUM_THREADS,
    json_: Json = False,
) -> None:
    """Build a manifest from AudioSet's segments lists and a folder of audio.

    Finds YTID.wav, YYTID.wav, YTID_start_end.flac and the like. A segment without a file gets a row too.
    """
    from audio_dcls_cli.actions import manifest_build as actions

    actions.audioset(
        segments=segments,
        audio=audio,
        out=out,
        split=split,
        holds=holds,
        labels=labels,
        workers=workers,
        json_=json_,
    )


manifest_import.register(app)


@app.command()
def index(
    source: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST...", help="CSV or other manifest.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.clips", help="Index to write.")],
    labels: LabelsFile = None,
    json_: Json = False,
) -> None:
    """Write manifests as one file that is mapped into memory, and shared by all processes, when it is opened.

    It can be used wherever a manifest can. Write it again when the manifests change.
    """
    from audio_dcls_cli.actions import manifest_build as actions

    actions.index(source=source, out=out, labels=labels, json_=json_)


@app.command()
def hdf5(
    source: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="HDF5 files in PANNs' layout.", show_default=False)
    ],
    out: ManifestOut,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Split of each FILE, in order (default: its attribute 'split', or its name)."
        ),
    ] = None,
    labels: LabelsFile = None,
    json_: Json = False,
) -> None:
    """Build a manifest of the rows of HDF5 files.

    Only needed to name splits or to leave rows out: such a file is a manifest itself.
    """
    from audio_dcls_cli.actions import manifest_build as actions

    actions.hdf5(source=source, out=out, split=split, labels=labels, json_=json_)


@app.command("frontend-stats")
def frontend_stats(
    source: Annotated[
        Path,
        typer.Argument(metavar="MANIFEST", help="CSV, packed index, HDF5 file or packed folder.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(metavar="YAML", help="File to write; a config includes it with `include:`.")],
    split: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Split to measure; may be repeated (default: train).")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Measure N clips drawn at random (default: all).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of that draw.")] = 0,
    config: Annotated[
        str | None,
        typer.Option(metavar="YAML", help="Config whose frontend to measure with (default: the paper's)."),
    ] = None,
    labels: LabelsFile = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Processes that read files, or 0.", show_default="one per core"),
    ] = None,
    json_: Json = False,
) -> None:
    """Measure mean and standard deviation of a split's spectrograms, in dB, for a config to include.

    Clips are cut or padded as for training, so padding counts. A clip that cannot be read is left out and counted.
    """
    from audio_dcls_cli.actions import manifest_build as actions

    actions.frontend_stats(
        source=source,
        out=out,
        split=split,
        limit=limit,
        seed=seed,
        config=config,
        labels=labels,
        workers=workers,
        json_=json_,
    )


@app.command()
def check(
    source: Source,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Write one row per clip here. A file that did not change is not read again, also after a kill.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with tables and plots here.")
    ] = None,
    labels: LabelsFile = None,
    duplicates: Annotated[
        Literal["keep", "drop"],
        typer.Option(help="If a split holds the same sound twice, keep both clips or drop the later one."),
    ] = "keep",
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPLIT",
            help="A split to measure on: its clips stay if another split has the same sound. May be repeated.",
            show_default="those named eval…, test…, val…",
        ),
    ] = None,
    clip_s: Annotated[
        float | None, typer.Option("--clip-s", help="Length that clips without times should have, in seconds.")
    ] = None,
    tolerance_s: Annotated[
        float, typer.Option("--tolerance-s", min=0, help="Seconds by which a length may differ from it.")
    ] = 0.5,
    clipped_share: Annotated[
        float, typer.Option("--clipped-share", min=0, max=1, help="Share of samples at full scale that is too much.")
    ] = 0.01,
    workers: Workers = NUM_THREADS,
    json_: Json = False,
) -> None:
    """Decode every clip; report how much of each split can be used, and why the rest cannot.

    Exit code 0 if every clip can be used, 1 if some cannot, 2 for a mistake. Warnings do not count.
    """
    from audio_dcls_cli.actions import manifest_check as actions

    actions.check(
        source=source,
        report=report,
        html=html,
        labels=labels,
        duplicates=duplicates,
        held_out=held_out,
        clip_s=clip_s,
        tolerance_s=tolerance_s,
        clipped_share=clipped_share,
        workers=workers,
        json_=json_,
    )


@app.command()
def stats(
    source: Source,
    top_k: Annotated[int, typer.Option(min=1, metavar="N", help="Classes and pairs to show.")] = 20,
    labels: LabelsFile = None,
    json_: Json = False,
) -> None:
    """Count the clips and classes of each split, and the classes that occur together; no sound file is opened."""
    from audio_dcls_cli.actions import manifest_check as actions

    actions.stats(source=source, top_k=top_k, labels=labels, json_=json_)
