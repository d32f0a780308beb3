"""`audio-dcls eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluate the newest checkpoint of every run named."""
    import json

    from audio_dcls.training.find_run import expand_cases, find_runs, latest_study
    from audio_dcls.training.measure import finite_or_none, measure_study, over_folds
    from audio_dcls_cli.progress import clip_progress, say
    from audio_dcls_cli.tables import fold_table, score_table

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
                splits=tuple(split or ()),
                best=best,
                save_logits=save_logits,
                on_progress=advance,
            )
        measured.append(scores)
        hashes.setdefault(scores.id_hash, []).append(str(path))
        if not json_:
            score_table(scores)
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
