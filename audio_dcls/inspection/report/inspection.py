"""Inspect a model: everything that `audio-dcls inspect` does, apart from printing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from audio_dcls.errors import ArgumentError
from audio_dcls.inspection.report.chapters import CHAPTERS
from audio_dcls.inspection.report.find_subject import InspectionOptions, find_subject
from audio_dcls.inspection.report.page import write_report
from audio_dcls.runs.find_run import latest_study

Advance = Callable[[int], object]
"""Called with the number of clips or chapters done since the last call."""


@dataclass(frozen=True)
class Inspection:
    """The result of an inspection."""

    facts: str
    """Model, seed, data and score, in one line."""
    files: tuple[Path, ...]
    """The files, the page last."""


def inspect_model(
    path: str | Path | None = None,
    folder: str | Path = "inspection",
    options: InspectionOptions | None = None,
    *,
    progress: Callable[[str, int | None], AbstractContextManager[Advance]] = (
        lambda task, total: contextlib.nullcontext(lambda count: None)
    ),
    on_problem: Callable[[str], object] = lambda message: None,
) -> Inspection:
    """Write a report on a model: one page, and each figure as PNG and PDF with its data as CSV.

    Args:
        path: study, run or checkpoint, or a name of published weights; None: the study that was written to last. A
            study of several cases means its first case with DCLS, compared with its twin without DCLS.
        folder: where the files are written; created if it does not exist.
        options: what to show.
        progress: gives, for a task ("measuring" or "drawing") and its length if known, a context with a callback.
        on_problem: called with the reason why a named sound is left out.

    Raises:
        ArgumentError: there is no such chapter.
        NothingToShowError: a chapter that was named has nothing to show; without names the page says so.
        RunError, CheckpointError: the model cannot be found or read.
    """
    options = options or InspectionOptions()
    unknown = [name for name in options.chapters if name not in CHAPTERS]
    if unknown:
        hint = "; each sound needs its own --clips" if Path(unknown[0]).exists() else ""
        raise ArgumentError(
            f"`name` (={unknown[0]!r}) is not a chapter of the report; choose from: {', '.join(CHAPTERS)}{hint}"
        )
    path = latest_study().path if path is None else path
    wanted = [CHAPTERS[name] for name in options.chapters or CHAPTERS]
    measures = any(chapter.needs_scores or (chapter.needs_clips and not options.clips) for chapter in wanted)
    with progress("measuring", None) as advance:
        subject = find_subject(str(path), options, measures=measures, on_progress=advance, on_problem=on_problem)
    with progress("drawing", len(wanted)) as advance:
        files = write_report(
            subject, Path(folder), options.chapters or None, on_chapter=lambda _: advance(1), dpi=options.dpi
        )
    return Inspection(subject.facts, tuple(files))
