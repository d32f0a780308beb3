"""`audio-dcls eval`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from audio_dcls.runs.scores import StudyScores

HELP = "Measure runs: mAP, AUC and d' per seed, with mean and standard deviation. The latest study by default."


def evaluate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN_OR_STUDY", help="Studies, or single seed-N folders.", show_default=False),
    ] = None,
    mean_ap: Annotated[bool, typer.Option("--mAP", help="Print mAP per seed and its mean (the default).")] = True,
    manifest: Annotated[
        str | None,
        typer.Option(metavar="MANIFEST", help="Measure on this manifest, HDF5 file or pack in place of the run's own."),
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="Splits of the manifest (default: the run's).")] = None,
    best: Annotated[
        bool, typer.Option("--best", help="Measure the checkpoint that did best on data.validation_splits.")
    ] = False,
    save_logits: Annotated[
        Path | None,
        typer.Option(metavar="FILE.h5", help="Write one run's logits, to teach another by `distillation.file`."),
    ] = None,
    fit_thresholds: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            help="Measure on this validation split, fit a threshold a class there (best F1), and store them in the "
            "checkpoint, for `tag --threshold fitted`.",
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluate the newest checkpoint of every run named."""
    import json

    from audio_dcls.runs.measure import MeasureOptions
    from audio_dcls.runs.measure import evaluate as measure
    from audio_dcls_cli.progress import clip_progress, say
    from audio_dcls_cli.tables import fold_table, score_table

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
    from audio_dcls_cli.progress import say

    for run in scores.runs:
        if run.thresholds is not None:
            fitted = run.thresholds
            say(
                f"thresholds, seed {run.seed}: mean F1 {fitted.mean_f1:.4f}, and {fitted.mean_f1_plain:.4f} at 0.5; "
                f"{int(fitted.fitted.sum())} of {len(fitted.values)} classes have their own, the others "
                f"{fitted.pooled:.3f}; stored in {run.checkpoint}"
            )
