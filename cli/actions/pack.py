"""`audio-dcls pack` stores clips in Parquet shards; `pack verify` checks them; `pack info` describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.packing.packer import PackResult, pack
from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.packing.verify import verify_pack
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.foreign_manifest import read_foreign_manifest
from audio_dcls.data.stores.pack_file import PackInfo, load_pack_info
from audio_dcls.data.stores.store import Store
from audio_dcls.labels import LabelSet
from audio_dcls_cli.inputs import label_set
from audio_dcls_cli.screen.progress import MAX_PROBLEMS_SHOWN, clip_progress, out, say

FOUND_SOMETHING = 1
FAULTS_SHOWN = 20


def write(
    *,
    manifest: str,
    out: str,
    codec: str,
    rows_per_shard: int,
    sample_rate_hz: int,
    labels: Path | None,
    id_column: str | None,
    labels_column: str | None,
    retry_left_out: bool,
    workers: int,
    json_: bool,
) -> None:
    """Write OUT/data/SPLIT-00000-of-00012.parquet and so on, and their index."""
    loaded = _load(manifest, label_set(labels), id_column, labels_column)
    settings = PackSettings(Codec(codec), sample_rate_hz=sample_rate_hz, rows_per_shard=rows_per_shard)
    with clip_progress(f"Packing {manifest}", len(loaded.clips), quiet=json_) as advance:
        result = pack(loaded, out, settings, num_workers=workers, retry_left_out=retry_left_out, on_progress=advance)
    if json_:
        left_out = [clip._asdict() for clip in result.left_out]
        document = {**_summary(out, result.info), "shards_kept": result.num_shards_kept, "left_out": left_out}
        typer.echo(json.dumps(document, indent=2))
    else:
        _show_result(out, result)
    if result.left_out:
        raise typer.Exit(FOUND_SOMETHING)


def verify(*, address: str, workers: int, json_: bool) -> None:
    """Report what has changed, by shard and row."""
    num_rows = load_pack_info(Store(address)).num_rows
    with clip_progress(f"Reading {address}", num_rows, quiet=json_) as advance:
        result = verify_pack(address, num_workers=workers, on_progress=advance)
    if json_:
        faults = [fault._asdict() for fault in result.faults]
        typer.echo(json.dumps({**_summary(address, result.info), "faults": faults}, indent=2))
    elif not result.faults:
        say(f"{num_rows} clips in {len(result.info.shards)} shards: everything is as it was when packed")
    for fault in () if json_ else result.faults[:FAULTS_SHOWN]:
        out.print(fault.message, markup=False, soft_wrap=True)
    if result.faults:
        if not json_ and len(result.faults) > FAULTS_SHOWN:
            say(f"… and {len(result.faults) - FAULTS_SHOWN} more; --json prints all of them")
        if not json_:
            say("Delete these files, and give the same pack command again: it writes only those.")
        raise typer.Exit(FOUND_SOMETHING)


def info(*, address: str, json_: bool) -> None:
    """Print codec, splits and sizes."""
    found = load_pack_info(Store(address))
    if json_:
        typer.echo(json.dumps({**_summary(address, found), "versions": found.plan.versions}, indent=2))
    else:
        _show_info(found)


def _load(manifest: str, labels: LabelSet, id_column: str | None, labels_column: str | None) -> Manifest:

    if id_column is None and labels_column is None:
        return load_manifest(manifest, labels)

    clips = read_foreign_manifest(Store(manifest), labels, id_column=id_column, labels_column=labels_column)
    return Manifest(clips=clips, labels=labels, source=manifest)


def _summary(address: str, info: PackInfo) -> dict[str, Any]:
    return {
        "pack": address,
        "codec": info.plan.codec.value,
        "sample_rate_hz": info.plan.sample_rate_hz,
        "num_rows": info.num_rows,
        "num_left_out": info.num_left_out,
        "num_shards": len(info.shards),
        "num_bytes": info.num_bytes,
        "splits": info.splits(),
    }


def _show_result(address: str, result: PackResult) -> None:

    _show_info(result.info)
    if result.num_shards_kept:
        say(f"{result.num_shards_kept} shards were already packed")
    for clip in result.left_out[:MAX_PROBLEMS_SHOWN]:
        out.print(f"  left out: {clip.id} ({clip.reason}): {clip.message}", markup=False, soft_wrap=True)
    if result.left_out:
        out.print(f"{len(result.left_out)} clips left out, all of them in {address}/left_out.csv", soft_wrap=True)
    out.print(f"Wrote {address}; next: audio-dcls pack verify {address}", markup=False, soft_wrap=True)


def _show_info(info: PackInfo) -> None:

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("split")
    for header in ("clips", "left out", "shards", "GB"):
        table.add_column(header, justify="right")
    for split, num_rows in info.splits().items():
        shards = [shard for shard in info.shards if shard.split == split]
        num_left_out = sum(shard.num_left_out for shard in shards)
        size = sum(shard.num_bytes for shard in shards) / 1e9
        table.add_row(Text(split), str(num_rows), str(num_left_out), str(len(shards)), f"{size:.3g}")
    out.print(table)
    is_source = info.plan.codec == "source"
    say("the source files, as they were" if is_source else f"{info.plan.codec}, mono, {info.plan.sample_rate_hz} Hz")
