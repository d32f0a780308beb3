"""`audio-dcls keys`: make, list and revoke API keys of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audio_dcls_cli.options import Json

HELP = "Make, list and revoke API keys of `audio-dcls serve`."
app = typer.Typer(no_args_is_help=True)
State = Annotated[
    Path | None,
    typer.Option(help="State folder of the service (default: audio_dcls_service, or the folder in its settings)."),
]
Config = Annotated[Path | None, typer.Option(metavar="YAML", help="Settings file of the service.")]


@app.command("add", help="Make a key. It is printed once; the service stores only its hash.")
def add(
    name: Annotated[str, typer.Argument(help="Who will use the key.")],
    scope: Annotated[
        list[str],
        typer.Option(help="tag: tag sounds; train: manage runs; admin: manage models, read metrics. May be repeated."),
    ] = ["tag"],  # noqa: B006
    state: State = None,
    config: Config = None,
) -> None:
    """Print a new key on standard output."""
    from audio_dcls_cli.actions import keys as actions

    actions.add(name=name, scopes=scope, state=state, config=config)


@app.command("list", help="List the keys, without their texts.")
def list_keys(state: State = None, config: Config = None, json_: Json = False) -> None:
    """Print id, name, scopes and date of each key."""
    from audio_dcls_cli.actions import keys as actions

    actions.list_keys(state=state, config=config, json_=json_)


@app.command("revoke", help="Revoke a key; a running service refuses it at once.")
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="Id from `audio-dcls keys list`.")],
    state: State = None,
    config: Config = None,
) -> None:
    """Remove a key."""
    from audio_dcls_cli.actions import keys as actions

    actions.revoke(identity=identity, state=state, config=config)
