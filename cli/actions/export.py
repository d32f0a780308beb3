"""`audio-dcls export`: write a model for other programs, and check it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import typer

from audio_dcls.choices import ExportFormat
from audio_dcls.errors import ArgumentError
from audio_dcls.inference.backends.backend import Backend
from audio_dcls.inference.export.exporter import Exported, export_checkpoint
from audio_dcls.inference.export.formats import FORMATS
from audio_dcls.inference.export.onnx_graph import OPSET
from audio_dcls.inference.export.parity import read_sounds
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint, load_checkpoint
from audio_dcls.runs.measure_backend import measure_backend
from audio_dcls_cli.inputs import choose_model
from audio_dcls_cli.screen.progress import clip_progress, say


def export(
    *,
    checkpoint: str | None,
    format_: ExportFormat,
    out: Path | None,
    replace: bool,
    int8: bool,
    opset: int | None,
    check: list[Path] | None,
    measure: str | None,
    split: list[str] | None,
    yes: bool,
    json_: bool,
) -> None:
    """Export a checkpoint, and write a model card next to it."""
    if opset is not None and not FORMATS[format_].takes_opset:
        raise ArgumentError(f"`--opset` (={opset}) is for `--format onnx`, not for '{format_}'; leave it out")
    if split and measure is None:
        raise ArgumentError(f"`--split` (={split[0]!r}) names clips of `--measure`, which is missing; give both")
    loaded = load_checkpoint(choose_model(checkpoint, yes=yes, quiet=json_))
    path = out if out is not None else Path(_name(loaded, int8) + FORMATS[format_].suffix)
    if path.exists() and (not replace or path.resolve() == loaded.path.resolve()):
        raise ArgumentError(f"'{path}' exists; name another file with --out, or overwrite it with --replace")
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
    """A function that measures the mAP of a backend on a manifest."""

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
        say("[yellow]The loss of accuracy by eight bits is not known:[/] measure it with --measure MANIFEST")
