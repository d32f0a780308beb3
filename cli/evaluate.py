"""`audio-dcls eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from audio_dcls.runs.measure import StudyScores

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

    from audio_dcls.errors import EvaluationError
    from audio_dcls.runs.find_run import expand_cases, find_runs, latest_study
    from audio_dcls.runs.measure import finite_or_none, measure_study, over_folds
    from audio_dcls_cli.progress import clip_progress, say
    from audio_dcls_cli.tables import fold_table, score_table

    if fit_thresholds is not None and split:
        raise EvaluationError(
            f"`--split` (={split[0]!r}) must be left out with `--fit-thresholds` (={fit_thresholds!r}), "
            "which names the split itself"
        )
    splits = tuple(split or ()) if fit_thresholds is None else (fit_thresholds,)
    if not paths:
        latest = latest_study()
        paths = [latest.path]
        if not json_:
            say(f"Latest study: [bold]{latest.path}[/]")
    measured = []
    hashes: dict[str, list[str]] = {}
    for path in (folder for given in paths for folder in expand_cases(given)):
        study, runs = find_runs(path)
        with clip_progress(f"Evaluating {path}", None, quiet=json_) as advance:
            scores = measure_study(
                study,
                runs,
                manifest=manifest,
                splits=splits,
                best=best,
                save_logits=save_logits,
                fit=fit_thresholds is not None,
                on_progress=advance,
            )
        measured.append(scores)
        hashes.setdefault(scores.id_hash, []).append(str(path))
        if not json_:
            score_table(scores)
            _say_thresholds(scores)
    folds = over_folds(measured)
    if not json_:
        if folds is not None:
            fold_table(folds, len(measured))
        elif len(hashes) > 1:
            sets = "; ".join(f"{clips}: {', '.join(paths)}" for clips, paths in hashes.items())
            say(f"[yellow]These are measured on different clips, and their scores cannot be compared:[/] {sets}")
        return
    documents: Any = [scores.to_json_dict() for scores in measured]
    if folds is not None:
        means = {name: {"mean": s.mean, "std": finite_or_none(s.std)} for name, s in folds.items()}
        documents = {"studies": documents, "over_folds": {"num_folds": len(measured), **means}}
    typer.echo(json.dumps(documents if len(measured) > 1 else documents[0], indent=2))


def _say_thresholds(scores: StudyScores) -> None:
    """What the thresholds that were fitted are worth, a line a seed; nothing where none were."""
    from audio_dcls_cli.progress import say

    for run in scores.runs:
        if run.thresholds is not None:
            fitted = run.thresholds
            say(
                f"thresholds, seed {run.seed}: mean F1 {fitted.mean_f1:.4f}, and {fitted.mean_f1_plain:.4f} at 0.5; "
                f"{int(fitted.fitted.sum())} of {len(fitted.values)} classes have their own, the others "
                f"{fitted.pooled:.3f}; stored in {run.checkpoint}"
            )
