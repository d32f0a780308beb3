"""`audio-dcls models`: list backbones and published weights, fetch weights, and show what a swap for DCLS changes."""

from __future__ import annotations

from typing import Annotated

import typer

from audio_dcls_cli.options import Json

app = typer.Typer(no_args_is_help=True)


@app.command("list", help="List the backbones, and the weights that the authors published.")
def list_models(json_: Json = False) -> None:
    """Print the members of each family, with those of the paper marked, and the published weights."""
    from audio_dcls_cli.actions import models as actions

    actions.list_models(json_=json_)


@app.command("fetch", help="Fetch published weights, for use without a network.")
def fetch(name: Annotated[str, typer.Argument(help="Name from `models list`.", show_default=False)]) -> None:
    """Fetch, check and convert weights; print where they are stored."""
    from audio_dcls_cli.actions import models as actions

    actions.fetch(name=name)


@app.command("show", help="Show the parts of a model, and which of its layers become DCLS.")
def show(
    name: Annotated[str, typer.Argument(help="Name from `models list`, with or without -dcls.", show_default=False)],
    dcls: Annotated[bool, typer.Option(help="Show the swap for DCLS, or the plain model.")] = True,
    num_classes: Annotated[int, typer.Option(min=1, help="Classes of the head.")] = 527,
    json_: Json = False,
) -> None:
    """Print layers, sharing and parameters, before and after the swap."""
    from audio_dcls_cli.actions import models as actions

    actions.show(name=name, dcls=dcls, num_classes=num_classes, json_=json_)
