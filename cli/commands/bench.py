"""`audio-dcls bench`: speed and memory of DCLS against named peers, measured in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = (
    "Measure layers and whole models against the 7x7 baseline, timm as it comes and the authors' library, in turns. "
    "Writes bench.json and bench.png. On a quiet machine the figures mean most."
)


def bench(
    suites: Annotated[
        list[str] | None,
        typer.Argument(help="construction, layer, train, inference, memory; all if no suite is named."),
    ] = None,
    models: Annotated[list[str], typer.Option("--model", help="timm's name; may be repeated.")] = ["convnext_tiny"],  # noqa: B006
    batches: Annotated[list[int], typer.Option("--batch", min=1, help="Clips in a batch; may be repeated.")] = [8],  # noqa: B006
    precisions: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            help="fp32 or bf16; may be repeated (default: fp32, and bf16 if the device has instructions for it).",
        ),
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option("--peer", help="Compare with 7x7, stock or authors; may be repeated (default: all)."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch (default: torch's choice).")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each case; 7 or more for figures to publish.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder for bench.json and bench.png.")] = Path("bench"),
    json_: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Run the benchmarks, print their tables, and write the report."""
    from audio_dcls_cli.actions import bench as actions

    actions.bench(
        suites=suites,
        models=models,
        batches=batches,
        precisions=precisions,
        peers=peers,
        device=device,
        threads=threads,
        rounds=rounds,
        out=out,
        json_=json_,
    )
