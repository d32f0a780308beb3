"""`audio-dcls inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "Look into a model: what its kernels learned, what it sees, where it errs, what it costs."
NUM_CLIPS = 16
NEEDS_CLIPS = {"receptive-field", "saliency", "errors", "time"}


def inspect(
    checkpoint: Annotated[
        str | None, typer.Argument(help="Study, seed-N or checkpoint folder, or file; the latest run by default.")
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
        str | None, typer.Option(metavar="RUN_OR_STUDY", help="Compare with it, such as the twin without DCLS.")
    ] = None,
    clips: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOUND",
            help="Sounds to look at it with: files, folders, a manifest. By default those its run is measured on.",
        ),
    ] = None,
    num_clips: Annotated[int, typer.Option(min=1, help="Clips to look at it with.")] = NUM_CLIPS,
    dpi: Annotated[int, typer.Option(min=50, max=600, help="Dots an inch of the PNG files.")] = 200,
    json_: Annotated[bool, typer.Option("--json", help="Print the files' names as JSON.")] = False,
) -> None:
    """Write a report on a model: one page, and each figure as PNG and PDF with its data as CSV."""
    import json

    from audio_dcls.inspection.report.chapters import CHAPTERS
    from audio_dcls.inspection.report.page import check_names, write_report
    from audio_dcls.runs.find_run import latest_study
    from audio_dcls_cli.inspect_subject import find_subject
    from audio_dcls_cli.screen.progress import clip_progress, say

    if checkpoint in CHAPTERS and not Path(checkpoint).exists():
        names, checkpoint = [checkpoint, *(names or [])], None
    check_names(names or ())
    if checkpoint is None:
        checkpoint = str(latest_study().path)
        if not json_:
            say(f"Latest study: {checkpoint}")
    wanted = set(names or CHAPTERS)
    with clip_progress("measuring", None, quiet=json_) as advance:
        subject = find_subject(
            checkpoint,
            against=against,
            clips=clips or [],
            num_clips=num_clips,
            measures=bool(wanted & NEEDS_CLIPS) and not (clips and "errors" not in wanted),
            on_progress=advance,
        )
    with clip_progress("drawing", len(wanted), quiet=json_) as advance:
        files = write_report(subject, out, names or None, on_chapter=lambda _: advance(1), dpi=dpi)
    if json_:
        typer.echo(json.dumps({"subject": subject.facts, "files": [str(file) for file in files]}, indent=2))
    else:
        say(f"{subject.facts}: {len(files) - 1} files and {files[-1]}")
