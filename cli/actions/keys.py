"""`audio-dcls keys`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.table import Table

from audio_dcls.service.keys import KeyFile
from audio_dcls.service.settings import load_service_settings
from audio_dcls_cli.screen.progress import err, out, say


def add(*, name: str, scopes: Sequence[str], state: Path | None, config: Path | None) -> None:
    """Make a key and print it on standard output."""
    file = _key_file(state, config)
    typer.echo(file.add(name, scopes))
    err.print(
        f"Keep this key: '{file.path}' stores only its hash. Send it in the header Authorization: Bearer KEY",
        soft_wrap=True,
    )


def list_keys(*, state: Path | None, config: Path | None, json_: bool) -> None:
    """Print the keys as a table, or as JSON."""
    keys = _key_file(state, config).keys()
    if json_:
        shown = [{"id": k.id, "name": k.name, "scopes": list(k.scopes), "created": k.created} for k in keys]
        typer.echo(json.dumps({"keys": shown}))
        return
    if not keys:
        say("There are no keys yet; make one with: audio-dcls keys add NAME --scope tag")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("id", "name", "scopes", "created"):
        table.add_column(title, overflow="fold")
    for key in keys:
        table.add_row(key.id, key.name, ", ".join(key.scopes), key.created)
    out.print(table)


def revoke(*, identity: str, state: Path | None, config: Path | None) -> None:
    """Remove a key."""
    key = _key_file(state, config).revoke(identity)
    say(f"Revoked key {key.id} ({key.name}).")


def _key_file(state: Path | None, config: Path | None) -> KeyFile:
    return KeyFile(load_service_settings(config, {"state_dir": state}).keys_path)
