"""`audio-dcls keys`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from audio_dcls.service.keys import KeyFile

HELP = "Make, list and revoke API keys of `audio-dcls serve`."
app = typer.Typer(no_args_is_help=True)
State = Annotated[
    Path | None, typer.Option(help="Folder of the service (default: audio_dcls_service, or as its settings say).")
]
Config = Annotated[Path | None, typer.Option(metavar="YAML", help="Settings of the service.")]


def _file(state: Path | None, config: Path | None) -> KeyFile:
    from audio_dcls.service.keys import KeyFile
    from audio_dcls.service.settings import load_service_settings

    return KeyFile(load_service_settings(config, {"state_dir": state}).keys_path)


@app.command("add", help="Make a key. It is shown once; the service keeps its hash alone.")
def add(
    name: Annotated[str, typer.Argument(help="Who will have it.")],
    scope: Annotated[
        list[str], typer.Option(help="tag: tag sounds; train: also runs; admin: models and metrics. Repeat it.")
    ] = ["tag"],  # noqa: B006
    state: State = None,
    config: Config = None,
) -> None:
    """Print a new key on standard output."""
    from audio_dcls_cli.screen.progress import err

    file = _file(state, config)
    typer.echo(file.add(name, scope))
    err.print(
        f"Keep it: '{file.path}' has its hash alone. Send it as the header Authorization: Bearer KEY", soft_wrap=True
    )


@app.command("list", help="Keys there are, without their texts.")
def list_keys(
    state: State = None,
    config: Config = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print id, name, scopes and date of each key."""
    import json

    from audio_dcls_cli.screen.progress import out, say

    keys = _file(state, config).keys()
    if json_:
        shown = [{"id": k.id, "name": k.name, "scopes": list(k.scopes), "created": k.created} for k in keys]
        typer.echo(json.dumps({"keys": shown}))
        return
    if not keys:
        say("No keys yet: audio-dcls keys add NAME --scope tag")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("id", "name", "scopes", "created"):
        table.add_column(title, overflow="fold")
    for key in keys:
        table.add_row(key.id, key.name, ", ".join(key.scopes), key.created)
    out.print(table)


@app.command("revoke", help="Take a key back; a running service refuses it from then on.")
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="Of `audio-dcls keys list`.")],
    state: State = None,
    config: Config = None,
) -> None:
    """Remove a key."""
    from audio_dcls_cli.screen.progress import say

    key = _file(state, config).revoke(identity)
    say(f"Revoked {key.id} ({key.name}).")
