"""The `audio-dcls` command: one thin file per subcommand, which imports what it runs only when it runs."""

from __future__ import annotations

import codecs
import errno
import importlib.metadata
import io
import os
import re
import sys
from collections.abc import Sequence

import typer

from audio_dcls.errors import AudioDclsError
from audio_dcls.out_of_memory import describe_out_of_memory
from audio_dcls_cli.commands import (
    bench,
    checkpoint,
    demo,
    evaluate,
    export,
    inspect,
    keys,
    manifest,
    models,
    pack,
    serve,
    study,
    tag,
    train,
)

USER_ERROR = 2
INTERRUPTED = 130
_ARGUMENT = re.compile(r"`([a-z][a-z0-9_]*)`")
_UNIT = re.compile(r"-(s|hz|db)$")
_PLAIN = {"█": "#", "░": ".", "✓": "*", "…": "...", "–": "-", "×": "x", "±": "+-", "→": "->"}

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
app.command(name="inspect", help=inspect.HELP)(inspect.inspect)
app.command(name="serve", help=serve.HELP)(serve.serve)
app.add_typer(keys.app, name="keys", help=keys.HELP)
app.command(name="demo", help=demo.HELP)(demo.demo)
app.command(name="bench", help=bench.HELP)(bench.bench)


def _print_error(text: str) -> None:
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(" ".join(text.split()), err=True)


def name_options(text: str, arguments: Sequence[str]) -> str:
    """Replace the names of library arguments in a message by the options that the user gave.

    >>> name_options("`hop_s` (=0) must be more", ["tag", "a.wav", "--hop", "0"])
    '--hop (=0) must be more'
    """
    given = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}

    def option(found: re.Match[str]) -> str:
        name = found[1].replace("_", "-")
        for one in (f"--{name}", f"--{_UNIT.sub('', name)}"):
            if one in given:
                return one
        return found[0]

    return _ARGUMENT.sub(option, text)


def _write_plainly(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that the encoding of a stream does not have, by similar ones or by escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text), error.end


def _accept_every_character() -> None:
    """Let no character end a command: a pipe may be cp1252 or ASCII, and names of files need not be UTF-8."""
    codecs.register_error("plain", _write_plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def run() -> None:
    """Run the command; a mistake of the user is one line on standard error and exit code 2."""
    _accept_every_character()
    try:
        app()
    except AudioDclsError as error:
        _print_error(name_options(str(error), sys.argv[1:]))
        sys.exit(USER_ERROR)
    except (MemoryError, RuntimeError, OSError) as error:
        message = describe_out_of_memory(error)
        if message is not None:
            _print_error(message)
            sys.exit(USER_ERROR)
        if not isinstance(error, OSError):
            raise
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        name = error.filename2 or error.filename  # an error of a rename has both names
        place = f"'{name}': " if name is not None else ""
        remedy = "check the path, its permissions and the space left, or name another place"
        _print_error(f"{place}{(error.strerror or 'cannot be used').lower()}; {remedy}")
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
