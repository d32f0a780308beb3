"""`audio-dcls serve`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audio_dcls.errors import ConfigError
from audio_dcls.extras import need_package
from audio_dcls.models.weights.published import is_published_name
from audio_dcls.service.settings import load_service_settings
from audio_dcls.settings import merge, parse_overrides
from audio_dcls_cli.screen.progress import err


def serve(
    *,
    config: Path | None,
    host: str | None,
    port: int | None,
    state: Path | None,
    models: Sequence[str],
    data_roots: Sequence[str],
    overrides: Sequence[str],
) -> None:
    """Run the service until a signal stops it."""
    for root in data_roots:
        if not Path(root).is_dir():
            raise ConfigError(f"--data-root (='{root}') is not a folder; name a folder that configs may read")
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "state_dir": state,
        "data_roots": list(data_roots) or None,
        "models": _named_models(models) or None,
    }
    given = {key: value for key, value in options.items() if value is not None}
    settings = load_service_settings(config, merge(parse_overrides(overrides), given))
    for package in ("fastapi", "uvicorn", "pebble"):
        need_package(package, "serve")
    from audio_dcls.service.server import run_server  # needs the packages of the extra `[serve]`

    run_server(settings, _print_address)


def _named_models(texts: Sequence[str]) -> dict[str, str]:
    """Models by name, from texts `NAME=MODEL` or `MODEL`; in the second form the file or folder gives the name."""
    models: dict[str, str] = {}
    for text in texts:
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


def _print_address(address: str) -> None:
    err.print(f"Serving at [bold]{address}[/]   page: {address}/   API: {address}/docs   Ctrl-C stops", soft_wrap=True)
