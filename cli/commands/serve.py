"""`audio-dcls serve`: run the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "Serve tagging and training over HTTP, with a page for browsers."


def serve(
    config: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="Settings file; docs/service.md lists the settings.", show_default=False),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (default: 8000).")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder for the queue, runs, models and keys (default: audio_dcls_service).")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]MODEL", help="A file, a run, or the name of published weights; may be repeated."),
    ] = None,
    data_root: Annotated[
        list[str] | None, typer.Option(help="Folder that the configs of runs may read; may be repeated.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. max_upload_mb=50.")
    ] = None,
) -> None:
    """Run the service until Ctrl-C or SIGTERM; requests in flight are finished first."""
    from audio_dcls_cli.actions import serve as actions

    actions.serve(
        config=config,
        host=host,
        port=port,
        state=state,
        models=model or [],
        data_roots=data_root or [],
        overrides=set_ or [],
    )
