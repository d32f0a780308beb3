"""`audio-dcls manifest audioset`, `index`, `hdf5` and `frontend-stats`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import torch
import typer
from rich.markup import escape

from audio_dcls.data.importers.audioset import import_audioset
from audio_dcls.data.loading.loader import num_cpus
from audio_dcls.data.loading.spectrogram_stats import draw_clips, measure_spectrograms, stats_fragment
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.stores.hdf5_clips import read_manifest
from audio_dcls.data.table.clip_index import write_index
from audio_dcls.errors import ArgumentError
from audio_dcls.files import write_atomically
from audio_dcls.frontend import FrontendConfig
from audio_dcls.settings import build, load_yaml
from audio_dcls_cli.inputs import label_set
from audio_dcls_cli.screen.progress import clip_progress, say


def audioset(
    *,
    segments: list[Path],
    audio: list[Path],
    out: Path,
    split: list[str] | None,
    holds: Literal["auto", "segment", "recording"],
    labels: Path | None,
    workers: int,
    json_: bool,
) -> None:
    """Build a manifest from AudioSet's segments lists and a folder of audio."""
    splits = split or [path.stem.removesuffix("_segments") for path in segments]
    if len(splits) != len(segments):
        raise ArgumentError(
            f"--split is given {len(splits)} times, --segments {len(segments)} times; give one for each"
        )
    with clip_progress("Looking up segments", None, quiet=json_) as advance:
        result = import_audioset(
            list(zip(segments, splits, strict=True)),
            audio,
            label_set(labels),
            holding=holds,
            num_workers=workers,
            on_progress=advance,
        )
        result.manifest.save(out)
    counts = {
        "segments": len(result.manifest.clips),
        "found": result.num_found,
        "missing": result.num_missing,
        "parts_of_recordings": result.num_recordings,
        "with_several_files": len(result.repeated),
        "files_of_no_segment": result.num_unlisted,
    }
    if json_:
        typer.echo(json.dumps({"manifest": str(out), "splits": result.manifest.splits(), **counts}, indent=2))
        return
    say(f"{counts['segments']} segments: {counts['found']} with a file, {counts['missing']} missing")
    if result.num_recordings:
        say(f"{result.num_recordings} are parts of longer recordings and keep their times")
    if result.repeated:
        say(f"{len(result.repeated)} have several files, such as {result.repeated[0]}; the first by name is used")
    if result.num_unlisted:
        say(f"{result.num_unlisted} audio files belong to no segment")
    say(f"Wrote {out}; next: audio-dcls manifest check {out}")


def hdf5(*, source: list[Path], out: Path, split: list[str] | None, labels: Path | None, json_: bool) -> None:
    """Build a manifest of the rows of HDF5 files."""
    if split and len(split) != len(source):
        raise ArgumentError(f"--split is given {len(split)} times for {len(source)} files; give one for each")
    classes = label_set(labels)
    manifest = Manifest.concatenate(
        [
            Manifest(read_manifest(path, classes, split=name), classes, str(path))
            for path, name in zip(source, split or [None] * len(source), strict=True)
        ]
    )
    is_labelled = manifest.table.label_counts() > 0
    num_unlabelled = int((~is_labelled).sum())
    manifest = replace(manifest, clips=manifest.table.take(is_labelled))
    manifest.save(out)
    facts = {"manifest": str(out), "num_clips": len(manifest.table), "splits": manifest.splits()}
    if json_:
        typer.echo(json.dumps({**facts, "num_without_labels": num_unlabelled}, indent=2))
        return
    say(f"{len(manifest.table)} rows of {len(source)} files; {num_unlabelled} without a label left out")
    say(f"Wrote {out}; next: audio-dcls manifest check {out}")


def index(*, source: list[Path], out: Path, labels: Path | None, json_: bool) -> None:
    """Write manifests as one file that is mapped into memory, and shared by all processes, when it is opened."""
    classes = label_set(labels)
    manifests = [load_manifest(path, classes) for path in source]
    manifest = manifests[0] if len(manifests) == 1 else Manifest.concatenate(manifests)
    write_index(manifest.table, classes, out)
    facts = {"index": str(out), "num_clips": len(manifest.table), "splits": manifest.splits()}
    if json_:
        typer.echo(json.dumps({**facts, "num_bytes": out.stat().st_size}, indent=2))
        return
    say(f"{len(manifest.table):,} clips of {len(manifest.splits())} splits, {out.stat().st_size / 1e6:,.1f} MB")
    say(f"Wrote {out}; then: --set data.manifests={escape(f'[{out}]')}")


def frontend_stats(
    *,
    source: Path,
    out: Path,
    split: list[str] | None,
    limit: int | None,
    seed: int,
    config: str | None,
    labels: Path | None,
    workers: int | None,
    json_: bool,
) -> None:
    """Measure mean and standard deviation of a split's spectrograms, in dB, for a config to include."""
    splits = split or ["train"]
    values = {} if config is None else load_yaml(config).get("frontend", {})
    frontend = build(FrontendConfig, values, f"config '{config}'")
    classes = label_set(labels)
    clips = load_manifest(source, classes).split(*splits).table
    clips = clips if limit is None else draw_clips(clips, limit, seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    num_workers = num_cpus() if workers is None else workers
    with clip_progress("Measuring spectrograms", len(clips), quiet=json_) as advance:
        stats = measure_spectrograms(clips, frontend, num_workers=num_workers, device=device, on_progress=advance)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, stats_fragment(stats, frontend, f"split {', '.join(splits)} of {source}").encode())
    if json_:
        typer.echo(json.dumps({"manifest": str(source), "splits": splits, "file": str(out), **asdict(stats)}, indent=2))
        return
    say(f"mean {stats.mean_db:.4f} dB, standard deviation {stats.std_db:.4f} dB over {stats.num_clips} clips")
    say(f"{stats.floor_share:.1%} of the values are digital silence, padding included")
    if stats.num_failed:
        say(f"[yellow]{stats.num_failed} clips could not be read[/]; audio-dcls manifest check {source}")
    say(f"Wrote {out}; in a config: include: {out}")
