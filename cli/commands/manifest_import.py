"""`audio-dcls manifest esc50 | fsd50k | urbansound8k | speech-commands | folders`: a command for each importer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from audio_dcls.data.importers.registry import IMPORTERS, Importer, ImportOption
from audio_dcls_cli.options import Json, ManifestOut

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The dataset's folder.", show_default=False)]
LabelsOut = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Classes to write, as index,mid,display_name (default: OUT_labels.csv)."),
]


def register(app: typer.Typer) -> None:
    """Add a command for each importer of the registry."""
    for importer in IMPORTERS:
        app.command(name=importer.name, help=importer.help)(_command(importer))


def _command(importer: Importer) -> Callable[..., None]:
    def command(*, folder: Path, out: Path, labels_out: Path | None, json_: bool, **options: Any) -> None:
        from audio_dcls_cli.actions.manifest_import import import_dataset

        import_dataset(importer.run(folder, **options), out, labels_out, as_json=json_)

    parameters = dict(_parameters(importer.options))
    command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    vars(command)["__signature__"] = inspect.Signature(list(parameters.values()))
    return command


def _parameters(options: tuple[ImportOption, ...]) -> Iterator[tuple[str, inspect.Parameter]]:
    """The parameters from which Typer makes the options of a command, by name."""
    yield _parameter("folder", Folder)
    yield _parameter("out", ManifestOut)
    for option in options:
        shown = True if option.shown_default is None else option.shown_default
        flag = f"--{option.name.replace('_', '-')}"
        details = typer.Option(flag, help=option.help, metavar=option.metavar, show_default=shown)
        yield _parameter(option.name, Annotated[option.kind, details], option.default)
    yield _parameter("labels_out", LabelsOut, None)
    yield _parameter("json_", Json, False)


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> tuple[str, inspect.Parameter]:
    return name, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
