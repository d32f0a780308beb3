"""`audio-dcls checkpoint`: show a model's file, check it, and make other files from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from audio_dcls.errors import ArgumentError, CheckpointError
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig
from audio_dcls.models.checkpoint.edit import average_checkpoints, examine_checkpoint, strip_checkpoint
from audio_dcls.models.checkpoint.tensor_file import load_info
from audio_dcls.models.conversion import convert_checkpoint
from audio_dcls.models.find_model import find_model
from audio_dcls.runs.publish import push_checkpoint
from audio_dcls.settings import build
from audio_dcls_cli.screen.progress import out, say

FOUND_SOMETHING = 1


def show(*, checkpoint: str, json_: bool) -> None:
    """Print architecture, classes, frontend, scores and origin."""
    path = find_model(checkpoint)
    info = load_info(path)
    if json_:
        typer.echo(json.dumps({"path": str(path), "num_bytes": path.stat().st_size, **info}, indent=2))
        return

    table = Table(
        title=str(path), title_style="bold", title_justify="left", box=None, show_header=False, pad_edge=False
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _rows(info, path).items():
        table.add_row(name, text)
    out.print(table)


def _rows(info: dict[str, Any], path: Path) -> dict[str, str]:
    """The lines of `show`: title and text."""
    rows = {"file": f"{path.stat().st_size / 1e6:.1f} MB, format {info['format_version']}, {info.get('kind')}"}
    if info.get("kind") != "tagger":
        return rows
    model, frontend, labels = info["model"], info["frontend"], info["labels"]["names"]
    swap = model.get("dcls")
    rows["model"] = model["name"] + (
        "" if swap is None else ", DCLS {}x{}, {} elements".format(*swap["kernel_size"], swap["kernel_count"])
    )
    shown = ", ".join(labels[:4]) + (", …" if len(labels) > 4 else "")
    rows["classes"] = f"{len(labels)} ({shown}), {info['activation']}"
    rows["sound"] = (
        f"{frontend['sample_rate_hz']} Hz, clips of {frontend['clip_s']:g} s, {frontend['num_mels']} mel bands, mean "
        f"{frontend['mean_db']:g} dB, std {frontend['std_db']:g} dB"
    )
    thresholds = info["thresholds"]
    rows["thresholds"] = "none" if thresholds is None else f"fitted on {thresholds['split']}"
    metrics = info.get("metrics") or {}
    scores = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float))
    clips = f" on {metrics['num_clips']} clips ({metrics.get('clip_id_hash')})" if "num_clips" in metrics else ""
    rows["scores"] = f"{scores}{clips}" if scores else "none"
    if info.get("step") is not None:
        rows["trained"] = f"seed {info.get('seed')}, step {info['step']}, epoch {info.get('epoch', 0):g}"
    if info.get("averaged_from"):
        rows["average of"] = ", ".join(source["file"] for source in info["averaged_from"])
    if info.get("converted_from"):
        rows["converted from"] = info["converted_from"]["file"]
    rows["licence"] = info.get("licence") or "not named"
    rows["written with"] = ", ".join(f"{name} {version}" for name, version in (info.get("versions") or {}).items())
    return {name: text for name, text in rows.items() if text}


def verify(*, checkpoints: list[str], labels: str | None, json_: bool) -> None:
    """Print what is wrong with each checkpoint."""
    wanted = None if labels is None else _labels(labels)
    found: dict[str, list[str]] = {}
    for checkpoint in checkpoints:
        try:
            path = find_model(checkpoint)
        except CheckpointError as error:
            found[checkpoint] = [str(error)]
        else:
            found[str(path)] = examine_checkpoint(path, wanted)
    if json_:
        typer.echo(json.dumps(found, indent=2))
    else:
        for path, faults in found.items():
            if not faults:
                say(f"{path}: whole")
            for fault in faults:
                out.print(fault, style="red", markup=False, soft_wrap=True)
    if any(found.values()):
        raise typer.Exit(FOUND_SOMETHING)


def average(*, checkpoints: list[str], out: Path, replace: bool) -> None:
    """Average weights."""
    _refuse_existing(out, replace)
    average_checkpoints([find_model(checkpoint) for checkpoint in checkpoints], out)
    _say_written(out, f"average of {len(checkpoints)}")


def strip(*, checkpoint: str, out: Path, replace: bool) -> None:
    """Keep only what using the model needs."""
    _refuse_existing(out, replace)
    strip_checkpoint(find_model(checkpoint), out)
    _say_written(out, "stripped")


def convert(
    *,
    weights: Path,
    out: Path,
    model: str | None,
    labels: str,
    kernel_size: int | None,
    interpolation: str | None,
    licence: str | None,
    replace: bool,
) -> None:
    """Convert a file."""
    _refuse_existing(out, replace)
    dcls = _dcls(kernel_size, interpolation)
    converted = convert_checkpoint(
        weights, out, info={"licence": licence}, name=model, labels=_labels(labels), dcls=dcls
    )
    _say_written(out, f"{converted.model_config.name}, {converted.num_entries} entries, all of them used")


def push(*, checkpoint: str, repo: str, licence: str | None, private: bool, replace_card: bool, message: str) -> None:
    """Push a checkpoint; the token is the one `hf auth login` stored, or HF_TOKEN."""
    path = find_model(checkpoint)
    url = push_checkpoint(path, repo, private=private, licence=licence, replace_card=replace_card, message=message)
    say(f"{path} is at {url}")


def _dcls(kernel_size: int | None, interpolation: str | None) -> DclsConfig | None:
    """The kernels that the options describe; None, for those of the published weights, without such options."""
    if kernel_size is None and interpolation is None:
        return None
    given: dict[str, Any] = {"kernel_size": None if kernel_size is None else [kernel_size, kernel_size]}
    given["interpolation"] = interpolation
    values = {key: value for key, value in given.items() if value is not None}
    return build(DclsConfig, values, "--kernel-size and --interpolation")


def _labels(name: str) -> LabelSet:

    return LabelSet.audioset() if name == "audioset" else LabelSet.from_csv(name)


def _refuse_existing(path: Path, replace: bool) -> None:

    if path.suffix != ".safetensors":
        raise ArgumentError(f"--out (='{path}') must end in .safetensors; rename it")
    if path.exists() and not replace:
        raise ArgumentError(f"'{path}' exists; name another file, or overwrite it with --replace")


def _say_written(path: Path, what: str) -> None:

    say(f"{path} ({what}, {path.stat().st_size / 1e6:.1f} MB)")
