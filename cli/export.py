"""`audio-dcls export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from audio_dcls.inference.backends import Backend
    from audio_dcls.inference.export.exporter import Exported
    from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint

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
        Literal["onnx", "openvino", "torch-export", "safetensors"],
        typer.Option("--format", help="safetensors holds the weights alone, with their kernels built."),
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write (default: named after the model, here).")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that is there.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Weights of matrix products in eight bits (onnx).")] = False,
    opset: Annotated[int | None, typer.Option(help="Of onnx, 18 to 23; older runtimes need older ones.")] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(metavar="SOUND", help="Check with this sound file in place of made ones; again for more."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="MANIFEST", help="Measure mAP on this manifest, of the model and of what was written."),
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="Splits of that manifest (default: all).")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch published weights without asking.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Export a checkpoint, and write a model card beside it."""
    import json

    from audio_dcls.errors import ArgumentError
    from audio_dcls.inference.export.exporter import SUFFIXES, export_checkpoint
    from audio_dcls.inference.export.onnx_graph import OPSET
    from audio_dcls.inference.export.parity import read_sounds
    from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
    from audio_dcls_cli.choose_model import choose_model
    from audio_dcls_cli.progress import clip_progress

    if opset is not None and format_ != "onnx":
        raise ArgumentError(f"`--opset` (={opset}) is for `--format onnx`, not for '{format_}'; leave it out")
    if split and measure is None:
        raise ArgumentError(f"`--split` (={split[0]!r}) names clips of `--measure`, which is missing; give both")
    loaded = load_checkpoint(choose_model(checkpoint, yes=yes, quiet=json_))
    path = out if out is not None else Path(_name(loaded, int8) + SUFFIXES[format_])
    if path.exists() and (not replace or path.resolve() == loaded.path.resolve()):
        raise ArgumentError(f"'{path}' exists; name another file by --out, or write over an exported one by --replace")
    sounds = read_sounds(check, loaded.frontend.sample_rate_hz) if check else None
    with clip_progress(f"Measuring on {measure}", None, quiet=json_ or measure is None) as advance:
        exported = export_checkpoint(
            loaded,
            path,
            format_,
            int8=int8,
            opset=OPSET if opset is None else opset,
            sounds=sounds,
            measure=None if measure is None else _measurer(loaded, measure, tuple(split or ()), advance),
        )
    if json_:
        typer.echo(json.dumps(exported.to_json_dict(), indent=2))
        return
    _say(exported, int8)


def _measurer(
    loaded: LoadedCheckpoint, manifest: str, splits: tuple[str, ...], advance: Callable[[int], None]
) -> Callable[[Backend], float]:
    """mAP of a backend on a manifest."""
    from audio_dcls.runs.measure_graph import measure_backend

    def mean_average_precision(backend: Backend) -> float:
        return measure_backend(
            backend,
            loaded.labels,
            manifest,
            splits=splits,
            sample_rate_hz=loaded.frontend.sample_rate_hz,
            clip_samples=loaded.frontend.clip_samples,
            on_progress=advance,
        ).mean_average_precision

    return mean_average_precision


def _name(loaded: LoadedCheckpoint, int8: bool) -> str:
    model = loaded.info["model"]
    return model["name"] + "-dcls" * (model["dcls"] is not None) + "-int8" * int8


def _say(exported: Exported, int8: bool) -> None:
    from audio_dcls_cli.progress import say

    parity = exported.parity
    say(f"[bold]{exported.path}[/], {exported.num_bytes / 1e6:.1f} MB; its card: {exported.card_path}")
    say(
        f"Largest difference of a probability over {parity.num_sounds} sounds: {parity.eager:.1e} from the model "
        f"({parity.exact:.1e} from it in float64, its own {parity.rounding:.1e})"
    )
    if exported.scores:
        before, after = exported.scores["checkpoint"], exported.scores["exported"]
        say(f"mAP {after:.4f}, the checkpoint's {before:.4f} ({after - before:+.4f})")
    elif int8:
        say("[yellow]What eight bits cost is not known:[/] measure it by --measure MANIFEST")
