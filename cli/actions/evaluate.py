"""`audio-dcls eval`: measure runs, print their scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import typer

from audio_dcls.runs.measure import MeasureOptions
from audio_dcls.runs.measure import evaluate as measure
from audio_dcls.runs.scores import StudyScores
from audio_dcls_cli.screen.progress import clip_progress, say
from audio_dcls_cli.screen.tables import fold_table, score_table


def evaluate(
    *,
    paths: list[Path] | None,
    manifest: str | None,
    split: list[str] | None,
    best: bool,
    save_logits: Path | None,
    fit_thresholds: str | None,
    json_: bool,
) -> None:
    """Measure the newest checkpoint of every named run, and print tables or JSON."""
    options = MeasureOptions(manifest, tuple(split or ()), best, save_logits, fit_thresholds)

    def progress(folder: Path) -> AbstractContextManager[Callable[[int], None]]:
        if not paths and not json_:
            say(f"Latest study: [bold]{folder}[/]")
        return clip_progress(f"Evaluating {folder}", None, quiet=json_)

    def show(scores: StudyScores) -> None:
        if not json_:
            score_table(scores)
            _say_thresholds(scores)

    found = measure(paths or (), options, progress=progress, on_scores=show)
    folds, clip_sets = found.over_folds(), found.clip_sets()
    if json_:
        typer.echo(json.dumps(found.to_json(), indent=2))
    elif folds is not None:
        fold_table(folds, len(found.studies))
    elif len(clip_sets) > 1:
        sets = "; ".join(f"{clips}: {', '.join(map(str, folders))}" for clips, folders in clip_sets.items())
        say(f"[yellow]These are measured on different clips, and their scores cannot be compared:[/] {sets}")


def _say_thresholds(scores: StudyScores) -> None:
    """Print how good the fitted thresholds are, one line per seed, if any were fitted."""
    for run in scores.runs:
        if run.thresholds is not None:
            fitted = run.thresholds
            say(
                f"thresholds, seed {run.seed}: mean F1 {fitted.mean_f1:.4f}, and {fitted.mean_f1_plain:.4f} at 0.5; "
                f"{int(fitted.fitted.sum())} of {len(fitted.values)} classes have their own, the others "
                f"{fitted.pooled:.3f}; stored in {run.checkpoint}"
            )
