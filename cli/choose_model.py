"""Which model a command uses when none, a path, or a name is given."""

from __future__ import annotations

from pathlib import Path


def choose_model(checkpoint: str | None, *, yes: bool, quiet: bool) -> Path:
    """The checkpoint file to load.

    Args:
        checkpoint: a path or the name of published weights; None for the latest run, or published weights where there
            is none.
        yes: whether to fetch without asking.
        quiet: whether nothing may be printed but the question.

    Raises:
        RunError: nothing is there.
    """
    from audio_dcls.training.find_run import find_model, latest_study

    return find_model(checkpoint if checkpoint is not None else latest_study().path)
