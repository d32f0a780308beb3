"""The `audio-dcls` command: one sub-command a file, imported only when it is used."""

from __future__ import annotations

import importlib.metadata
import os
import sys

import typer

from audio_dcls.errors import AudioDclsError
from audio_dcls_cli import demo, evaluate, manifest, models, tag, train

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
app.command(name="eval", help=evaluate.HELP)(evaluate.evaluate)
app.command(name="tag", help=tag.HELP)(tag.tag)
app.add_typer(models.app, name="models", help="Look at the models.")
app.add_typer(manifest.app, name="manifest", help="Build and check manifests.")
app.command(name="demo", help=demo.HELP)(demo.demo)


def run() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    try:
        app()
    except AudioDclsError as error:
        typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(" ".join(str(error).split()), err=True)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
