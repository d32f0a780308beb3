"""`audio-dcls demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "Synthesise the demo corpus: labelled sounds of 25 AudioSet classes, without a download."


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder.", show_default=False)],
    num_train: Annotated[int, typer.Option(min=1, help="Clips to train on.")] = 1100,
    num_eval: Annotated[int, typer.Option(min=1, help="Clips to measure on.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same sounds.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write the corpus; an existing complete one with the same numbers is kept."""
    from audio_dcls_cli.actions import demo as actions

    actions.demo(folder=folder, num_train=num_train, num_eval=num_eval, seed=seed, json_=json_)
