"""Which model a command uses when none, a path, or a name is given."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

OFFERED = "convnext_tiny-dcls"
"""Published weights for those who have none of their own."""


def choose_model(checkpoint: str | None, *, yes: bool, quiet: bool) -> Path:
    """The checkpoint file to load.

    Args:
        checkpoint: a path or the name of published weights; None for the latest run, or published weights where there
            is none.
        yes: whether to fetch without asking.
        quiet: whether nothing may be printed but the question.

    Raises:
        RunError: nothing is there, and nothing was fetched.
        PretrainedError: published weights cannot be had.
    """
    from audio_dcls.errors import RunError
    from audio_dcls.models.weights.published import is_published_name
    from audio_dcls.runs.find_run import find_model, latest_study
    from audio_dcls_cli.fetch_weights import fetch_weights

    if checkpoint is not None:
        if not Path(checkpoint).exists() and is_published_name(checkpoint):
            return fetch_weights(checkpoint, quiet=quiet)
        return find_model(checkpoint)
    try:
        return find_model(latest_study().path)
    except RunError as error:
        if not _may_fetch(yes):
            message = f"{error}, or use published weights: --checkpoint {OFFERED} (fetched once, by --yes unasked)"
            raise RunError(message) from error
    return fetch_weights(OFFERED, quiet=quiet)


def _may_fetch(yes: bool) -> bool:
    """Whether the offered weights are here, or may be fetched."""
    from audio_dcls.models.weights.published import find_published

    weights = find_published(OFFERED)
    assert weights is not None
    if weights.is_cached or yes:
        return True
    if not sys.stdin.isatty():
        return False
    return typer.confirm(f"No model of your own is here. Fetch {OFFERED} (AudioSet's 527 classes) from {weights.page}?")
