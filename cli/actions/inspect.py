"""`audio-dcls inspect`: write a report on a model, print where it is."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from audio_dcls.inspection.report import InspectionOptions, inspect_model
from audio_dcls.inspection.report.chapters import CHAPTERS
from audio_dcls.runs.find_run import latest_study
from audio_dcls_cli.screen.progress import clip_progress, say, warn


def inspect(
    *,
    checkpoint: str | None,
    names: list[str],
    out: Path,
    against: str | None,
    clips: list[str],
    num_clips: int,
    dpi: int,
    json_: bool,
) -> None:
    """Write the report. A first argument that is the name of a chapter, and not a path, is a chapter."""
    if checkpoint in CHAPTERS and not Path(checkpoint).exists():
        names, checkpoint = [checkpoint, *names], None
    if checkpoint is None:
        checkpoint = str(latest_study().path)
        if not json_:
            say(f"Latest study: {checkpoint}")
    written = inspect_model(
        checkpoint,
        out,
        InspectionOptions(names, against, clips, num_clips, dpi),
        progress=lambda task, total: clip_progress(task, total, quiet=json_),
        on_problem=warn,
    )
    if json_:
        typer.echo(json.dumps({"subject": written.facts, "files": [str(file) for file in written.files]}, indent=2))
    else:
        say(f"{written.facts}: {len(written.files) - 1} files and {written.files[-1]}")
