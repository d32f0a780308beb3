"""The `audio-dcls` command: one sub-command a file, imported only when it is used."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import sys

import typer

from audio_dcls.errors import AudioDclsError
from audio_dcls_cli import bench, checkpoint, demo, evaluate, export, manifest, models, pack, study, tag, train

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    name="audio-dcls",
    help="Train, measure and use audio taggers with learnable-spacing convolutions (DCLS).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"audio-dcls {importlib.metadata.version('audio-dcls')}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Train, measure and use audio taggers with learnable-spacing convolutions (DCLS)."""


app.command(name="train", help=train.HELP)(train.train)
app.add_typer(study.app, name="study", help=study.HELP)
app.command(name="eval", help=evaluate.HELP)(evaluate.evaluate)
app.command(name="tag", help=tag.HELP)(tag.tag)
app.command(name="export", help=export.HELP)(export.export)
app.add_typer(models.app, name="models", help="Look at the models, and fetch published ones.")
app.add_typer(checkpoint.app, name="checkpoint", help=checkpoint.HELP)
app.add_typer(manifest.app, name="manifest", help="Build and check manifests.")
app.add_typer(pack.app, name="pack", help=pack.HELP)
app.command(name="demo", help=demo.HELP)(demo.demo)
app.command(name="bench", help=bench.HELP)(bench.bench)


def _print_error(text: str) -> None:
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(" ".join(text.split()), err=True)


def run() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    try:
        app()
    except AudioDclsError as error:
        _print_error(str(error))
        sys.exit(USER_ERROR)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        name = error.filename2 or error.filename  # a file that could not be renamed to its own name has both
        place = f"'{name}': " if name is not None else ""
        remedy = "check the path, its permissions and the space left, or name another place"
        _print_error(f"{place}{(error.strerror or 'cannot be used').lower()}; {remedy}")
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
