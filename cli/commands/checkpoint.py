"""`audio-dcls checkpoint`: show a model's file, check it, and make other files from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audio_dcls_cli.options import Json

HELP = "Look at a model's file, check it, average, strip, convert or publish it."
app = typer.Typer(no_args_is_help=True)
Source = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="Study, run or checkpoint folder, or file.", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The .safetensors file to write.", show_default=False)]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite an existing file.")]


@app.command("show", help="Print what a checkpoint holds; its weights are not read.")
def show(checkpoint: Source, json_: Json = False) -> None:
    """Print architecture, classes, frontend, scores and origin."""
    from audio_dcls_cli.actions import checkpoint as actions

    actions.show(checkpoint=checkpoint, json_=json_)


@app.command("verify", help="Check every byte and number of checkpoints; exit code 1 if something is wrong.")
def verify(
    checkpoints: Annotated[
        list[str], typer.Argument(metavar="CHECKPOINT...", help="Folders or files.", show_default=False)
    ],
    labels: Annotated[
        str | None, typer.Option(metavar="CSV|audioset", help="Check that its classes are these, in this order.")
    ] = None,
    json_: Json = False,
) -> None:
    """Report what is wrong with each checkpoint."""
    from audio_dcls_cli.actions import checkpoint as actions

    actions.verify(checkpoints=checkpoints, labels=labels, json_=json_)


@app.command("average", help="Write the average of checkpoints with the same start, such as those of one run.")
def average(
    checkpoints: Annotated[
        list[str], typer.Argument(metavar="CHECKPOINT...", help="Two files or folders, or more.", show_default=False)
    ],
    out: Out,
    replace: Replace = False,
) -> None:
    """Average weights."""
    from audio_dcls_cli.actions import checkpoint as actions

    actions.average(checkpoints=checkpoints, out=out, replace=replace)


@app.command("strip", help="Write a checkpoint without its training config (and the paths in it).")
def strip(checkpoint: Source, out: Out, replace: Replace = False) -> None:
    """Keep only what using the model needs."""
    from audio_dcls_cli.actions import checkpoint as actions

    actions.strip(checkpoint=checkpoint, out=out, replace=replace)


@app.command("convert", help="Turn weights of the authors' own training (.pth) into a checkpoint. No pickle is run.")
def convert(
    weights: Annotated[Path, typer.Argument(metavar="FILE", help="A .pth or .safetensors file.", show_default=False)],
    out: Out,
    model: Annotated[str | None, typer.Option(help="timm's name (default: the published one of its family).")] = None,
    labels: Annotated[str, typer.Option(metavar="CSV|audioset", help="Classes of the model.")] = "audioset",
    kernel_size: Annotated[
        int | None, typer.Option(min=1, help="Taps of its DCLS kernels along each axis (default: 23).")
    ] = None,
    interpolation: Annotated[
        str | None, typer.Option(help="Interpolation of its DCLS kernels (default: gauss).")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, by its SPDX name.")] = None,
    replace: Replace = False,
) -> None:
    """Convert a file."""
    from audio_dcls_cli.actions import checkpoint as actions

    actions.convert(
        weights=weights,
        out=out,
        model=model,
        labels=labels,
        kernel_size=kernel_size,
        interpolation=interpolation,
        licence=licence,
        replace=replace,
    )


@app.command("push", help="Publish a checkpoint on the Hugging Face hub, with a model card.")
def push(
    checkpoint: Source,
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository.", show_default=False)],
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, by its SPDX name.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    replace_card: Annotated[bool, typer.Option("--replace-card", help="Overwrite an existing card.")] = False,
    message: Annotated[str, typer.Option(help="Commit message.")] = "Publish a checkpoint",
) -> None:
    """Push a checkpoint; the token is the one `hf auth login` stored, or HF_TOKEN."""
    from audio_dcls_cli.actions import checkpoint as actions

    actions.push(
        checkpoint=checkpoint, repo=repo, licence=licence, private=private, replace_card=replace_card, message=message
    )
