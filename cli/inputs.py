"""What commands are given: a model, published weights, a file of classes."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from audio_dcls.errors import RunError
from audio_dcls.labels import LabelSet
from audio_dcls.models.find_model import find_model
from audio_dcls.models.weights.published import find_published, is_published_name
from audio_dcls.models.weights.resolve import resolve, resolve_tagger
from audio_dcls.runs.find_run import latest_study
from audio_dcls_cli.screen.progress import err

OFFERED = "convnext_tiny-dcls"
"""Published weights for users who have no model of their own."""


def label_set(path: Path | None) -> LabelSet:
    """The classes of a file; AudioSet's 527 classes if no file is named."""
    return LabelSet.audioset() if path is None else LabelSet.from_csv(path)


def choose_model(checkpoint: str | None, *, yes: bool, quiet: bool) -> Path:
    """The checkpoint file to load.

    Args:
        checkpoint: a path or the name of published weights; None for the latest run or, if there is no run, published
            weights.
        yes: fetch without asking.
        quiet: print nothing but the question.

    Raises:
        RunError: there is no model, and no weights were fetched.
        PretrainedError: published weights are not available.
    """
    if checkpoint is not None:
        if not Path(checkpoint).exists() and is_published_name(checkpoint):
            return fetch_weights(checkpoint, quiet=quiet)
        return find_model(checkpoint)
    try:
        return find_model(latest_study().path)
    except RunError as error:
        if not _may_fetch(yes):
            raise RunError(
                f"{error}, or use published weights: --checkpoint {OFFERED} (fetched once; --yes fetches them without "
                "asking)"
            ) from error
    return fetch_weights(OFFERED, quiet=quiet)


def fetch_weights(name: str, *, quiet: bool = False, for_tagging: bool = True) -> Path:
    """The file of published weights, fetched with a progress bar if it is not on this machine.

    Args:
        name: a name from `models list`, or one on the hub.
        quiet: print nothing.
        for_tagging: refuse weights of image models.

    Raises:
        PretrainedError: no weights have that name, or they cannot be fetched.
    """
    fetch = resolve_tagger if for_tagging else resolve
    weights = find_published(name)
    if not quiet and weights is not None and not weights.is_cached and (weights.is_tagger or not for_tagging):
        err.print(f"Fetching {weights.url}", markup=False, soft_wrap=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True))
    with Progress(
        TextColumn("{task.description}"), *columns, console=err, transient=True, disable=quiet or not err.is_terminal
    ) as bar:
        task = bar.add_task(name, total=None)
        return fetch(name, progress=lambda done, total: bar.update(task, completed=done, total=total))


def _may_fetch(yes: bool) -> bool:
    """Return whether the offered weights are on this machine, or may be fetched."""
    weights = find_published(OFFERED)
    assert weights is not None
    if weights.is_cached or yes:
        return True
    if not sys.stdin.isatty():
        return False
    return typer.confirm(
        f"There is no model of yours here. Fetch {OFFERED} (AudioSet's 527 classes) from {weights.page}?"
    )
