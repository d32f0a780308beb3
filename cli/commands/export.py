"""`audio-dcls export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audio_dcls.choices import ExportFormat
from audio_dcls_cli.options import Json

HELP = "Write a model for other programs: waveforms in, probabilities out, checked against the model."


def export(
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Study, seed-N or checkpoint folder, file, or a name of `models list` (default: the latest run).",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        ExportFormat,
        typer.Option("--format", help="safetensors holds only the weights, with their kernels built."),
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write (default: named after the model, here).")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing file.")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Store the weights of matrix products in eight bits (onnx).")
    ] = False,
    opset: Annotated[int | None, typer.Option(help="ONNX opset, 18 to 23; older runtimes need older ones.")] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(metavar="SOUND", help="Check with this sound file instead of generated ones; may be repeated."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="MANIFEST", help="Measure mAP of the model and of the exported file on this manifest."),
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="Splits of that manifest (default: all).")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch published weights without asking.")] = False,
    json_: Json = False,
) -> None:
    """Export a checkpoint, and write a model card next to it."""
    from audio_dcls_cli.actions import export as actions

    actions.export(
        checkpoint=checkpoint,
        format_=format_,
        out=out,
        replace=replace,
        int8=int8,
        opset=opset,
        check=check,
        measure=measure,
        split=split,
        yes=yes,
        json_=json_,
    )
