"""`audio-dcls serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from audio_dcls.service.settings import ServiceSettings

HELP = "Serve tagging and training over HTTP, with a page for browsers."


def serve(
    config: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Settings; docs/service.md has them all.", show_default=False)
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (default: 8000).")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder of queue, runs, models and keys (default: audio_dcls_service).")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]MODEL", help="A file, run or published name; repeat for several."),
    ] = None,
    data_root: Annotated[
        list[str] | None, typer.Option(help="Folder that configs of runs may read; repeat for several.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. max_upload_mb=50.")
    ] = None,
) -> None:
    """Run the service until it is told to stop (Ctrl-C, SIGTERM); what is in flight is finished."""
    from audio_dcls.errors import ConfigError
    from audio_dcls.service.settings import load_service_settings
    from audio_dcls.settings import merge, parse_overrides

    for root in data_root or []:
        if not Path(root).is_dir():
            raise ConfigError(f"--data-root (='{root}') is no folder; name one that configs may read")
    flags: dict[str, Any] = {
        "host": host,
        "port": port,
        "state_dir": state,
        "data_roots": data_root or None,
        "models": _models(model or []) or None,
    }
    given = {key: value for key, value in flags.items() if value is not None}
    settings = load_service_settings(config, merge(parse_overrides(set_ or []), given))
    _run(settings)


def _models(given: list[str]) -> dict[str, str]:
    """Models by name; one without a name is called as its file or folder is."""
    from audio_dcls.errors import ConfigError
    from audio_dcls.models.weights.published import is_published_name

    models: dict[str, str] = {}
    for text in given:
        name, equals, source = text.partition("=")
        if not equals:
            name, source = Path(text).stem if Path(text).suffix else Path(text).name, text
        if not Path(source).exists() and not is_published_name(source):
            raise ConfigError(
                f"--model (={text!r}) does not exist; give a checkpoint, a run or study folder, an exported graph, or "
                "a name of `audio-dcls models list`"
            )
        models[name] = source
    return models


def _run(settings: ServiceSettings) -> None:
    _check_extra()
    from audio_dcls.service.server import run_server
    from audio_dcls_cli.screen.progress import err

    def listening(address: str) -> None:
        err.print(
            f"Serving at [bold]{address}[/]   page: {address}/   API: {address}/docs   Ctrl-C stops", soft_wrap=True
        )

    run_server(settings, listening)


def _check_extra() -> None:
    import importlib.util

    from audio_dcls.errors import ArgumentError

    missing = [name for name in ("fastapi", "uvicorn", "pebble") if importlib.util.find_spec(name) is None]
    if missing:
        message = f"serving needs {missing[0]}, which is not installed: pip install 'audio-dcls[serve]'"
        raise ArgumentError(message)
