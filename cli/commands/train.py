"""`audio-dcls train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "Train a tagger from a config; with no config, the demo: a synthesised corpus, no download."


def train(
    config: Annotated[str | None, typer.Argument(help="YAML config (default: the demo's).", show_default=False)] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed; may be repeated, for several runs in one study.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Study folder to make (default: runs/NAME-DATE-TIME).")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a config key, e.g. loop.epochs=5.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Study folder to resume.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Resume an unfinished study of this config without asking.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan: steps, batch, memory, first batch; train nothing.")
    ] = False,
) -> None:
    """Train every seed of a config, one after another, into one study folder.

    Stopped by a signal, it saves everything and exits with code 75; the same command resumes it.
    """
    from audio_dcls_cli.actions import train as actions

    actions.train(config=config, seed=seed, out=out, set_=set_, resume=resume, yes=yes, dry_run=dry_run)
