"""`audio-dcls inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audio_dcls_cli.options import Json

HELP = "Inspect a model: its kernels, its receptive field, its errors, its costs."
NUM_CLIPS = 16


def inspect(
    checkpoint: Annotated[
        str | None, typer.Argument(help="Study, seed-N or checkpoint folder, or file; by default the latest run.")
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Chapters: positions, speed, kernels, receptive-field, saliency, errors, compare, time (default: all)",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for report.html and its figures.")] = Path(
        "inspection"
    ),
    against: Annotated[
        str | None,
        typer.Option(metavar="RUN_OR_STUDY", help="Compare with this, such as the twin without DCLS."),
    ] = None,
    clips: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOUND",
            help="Sounds to look at the model with: files, folders, a manifest. By default, its run's own clips.",
        ),
    ] = None,
    num_clips: Annotated[int, typer.Option(min=1, help="Number of clips to look at the model with.")] = NUM_CLIPS,
    dpi: Annotated[int, typer.Option(min=50, max=600, help="Dots per inch of the PNG files.")] = 200,
    json_: Json = False,
) -> None:
    """Write a report on a model: one page, and each figure as PNG and PDF with its data as CSV."""
    from audio_dcls_cli.actions import inspect as actions

    actions.inspect(
        checkpoint=checkpoint,
        names=names or [],
        out=out,
        against=against,
        clips=clips or [],
        num_clips=num_clips,
        dpi=dpi,
        json_=json_,
    )
