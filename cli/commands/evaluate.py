"""`audio-dcls eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audio_dcls_cli.options import Json

HELP = "Measure runs: mAP, AUC and d' per seed, with mean and standard deviation. The latest study by default."


def evaluate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN_OR_STUDY", help="Studies, or single seed-N folders.", show_default=False),
    ] = None,
    mean_ap: Annotated[bool, typer.Option("--mAP", help="Print mAP per seed and its mean (the default).")] = True,
    manifest: Annotated[
        str | None,
        typer.Option(
            metavar="MANIFEST", help="Measure on this manifest, HDF5 file or pack instead of the run's own data."
        ),
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="Splits of the manifest (default: the run's).")] = None,
    best: Annotated[
        bool, typer.Option("--best", help="Measure the best checkpoint by data.validation_splits.")
    ] = False,
    save_logits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.h5", help="Write one run's logits, for another run to learn from with `distillation.file`."
        ),
    ] = None,
    fit_thresholds: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            help="Measure on this validation split, fit one threshold per class there (best F1), and store them in the "
            "checkpoint, for `tag --threshold fitted`.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Evaluate the newest checkpoint of every named run."""
    from audio_dcls_cli.actions import evaluate as actions

    actions.evaluate(
        paths=paths,
        manifest=manifest,
        split=split,
        best=best,
        save_logits=save_logits,
        fit_thresholds=fit_thresholds,
        json_=json_,
    )
