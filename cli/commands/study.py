"""`audio-dcls study` trains several cases over several seeds; `audio-dcls study table` compares them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audio_dcls_cli.options import group_with_default

RUN = "run"
HELP = (
    "Train several cases over several seeds and compare them.\n\n"
    "`audio-dcls study CONFIG` trains: it is short for `study run CONFIG`, whose options `study run --help` explains. "
    "Given again, it skips the runs that are finished and resumes the others.\n\n"
    "`audio-dcls study table DIR` prints and writes the table of the runs that exist."
)
app = typer.Typer(cls=group_with_default(RUN), no_args_is_help=True, help=HELP)


@app.command(
    RUN, help="Train every case of a study file on every seed; finished runs are skipped, unfinished ones resumed."
)
def run(
    config: Annotated[
        str | None, typer.Argument(help="Study file, such as configs/paper/study.yaml.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Study folder (default: runs/NAME).")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="case=A,seed=N", help="Train only this run, case or seed; may be repeated."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a config key in every case.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Study folder to resume, instead of a CONFIG.")] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Print the runs in the form that --only takes; train nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Resume an unfinished study without asking.")] = False,
) -> None:
    """Train the runs of a study one after another: every case's first seed, then every case's second, and so on.

    Stopped by a signal, it saves everything and exits with code 75; the same command resumes it.
    """
    from audio_dcls_cli.actions import study as actions

    actions.run(config=config, out=out, only=only, set_=set_, resume=resume, list_=list_, yes=yes)


@app.command(
    "table", help="Print and write the results of a study: mAP over seeds, costs, speed, and which runs are missing."
)
def table(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Study folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder to write to (default: DIR/table).")] = None,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Measure speed on this machine.")] = True,
    batch: Annotated[int, typer.Option(min=1, help="Clips in a batch, where speed is measured.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in which speed is measured.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda, where speed is measured.")] = "auto",
    json_: Annotated[bool, typer.Option("--json", help="Print the table as one JSON object.")] = False,
) -> None:
    """Write table.md, table.csv, table.tex, table.json and table.png."""
    from audio_dcls_cli.actions import study as actions

    actions.table(folder=folder, out=out, speed=speed, batch=batch, rounds=rounds, device=device, json_=json_)
