"""What goes into which shard: fixed by the manifest before the first sound is read.

A clip that cannot be read leaves a gap in its shard and moves no other clip, so a rerun writes the same shards.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from dataclasses import dataclass

import numpy as np
import soundfile

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.pack_file import PackPlan
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError, ManifestError

DATA_FOLDER = "data"


@dataclass(frozen=True)
class PackSettings:
    """How a pack is written.

    Raises:
        ArgumentError: a number is out of range.
    """

    codec: Codec = Codec.flac
    sample_rate_hz: int = 32_000
    """Rate the sounds are stored at, at least 1; Opus stores 48 000 where it does not know it."""
    rows_per_shard: int = 500
    """Manifest rows of a shard, at least 1: 500 clips of 10 s are 170 MB of FLAC."""

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "rows_per_shard"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"`{name}` (={getattr(self, name)}) must be at least 1; raise it")


@dataclass(frozen=True, eq=False)
class Shard:
    """One file of a pack, before it is written."""

    name: str
    """Inside the pack, such as `data/train-00003-of-00012.parquet`."""
    split: str
    places: np.ndarray
    """(n,) int64, rows of the manifest it is for, ascending."""


def plan_shards(table: ClipTable, rows_per_shard: int) -> list[Shard]:
    """Cut every split into shards of consecutive rows.

    Args:
        table: all clips.
        rows_per_shard: most rows of a shard, at least 1.

    Raises:
        ManifestError: two splits have the same name once letters, digits and `_` alone are left.
    """
    shards: list[Shard] = []
    owners: dict[str, str] = {}
    for code, split in enumerate(table.split_names):
        places = np.flatnonzero(table.split_codes == code)
        if not len(places):
            continue
        stem = file_stem(split)
        other = owners.setdefault(stem, split)
        if other != split:
            raise ManifestError(
                f"the splits '{other}' and '{split}' would both be written as '{stem}-….parquet', where a name has "
                "letters, digits and '_' alone; rename one of them"
            )
        pieces = [places[first : first + rows_per_shard] for first in range(0, len(places), rows_per_shard)]
        shards += [
            Shard(f"{DATA_FOLDER}/{stem}-{number:05d}-of-{len(pieces):05d}.parquet", split, piece)
            for number, piece in enumerate(pieces)
        ]
    return shards


def file_stem(split: str) -> str:
    """A split's name as the Hugging Face hub takes it.

    >>> file_stem("balanced-train")
    'balanced_train'
    """
    return re.sub(r"\W", "_", split)


def describe_plan(manifest: Manifest, settings: PackSettings) -> PackPlan:
    """All that decides a pack's bytes: two plans that are equal give equal packs."""
    return PackPlan(
        codec=settings.codec,
        sample_rate_hz=settings.sample_rate_hz,
        rows_per_shard=settings.rows_per_shard,
        num_clips=len(manifest.clips),
        manifest_sha256=manifest_digest(manifest.table),
        labels_sha256=manifest.labels.sha256(),
        versions={
            "libsndfile": soundfile.__libsndfile_version__,
            "soxr": importlib.metadata.version("soxr"),
            "pyarrow": importlib.metadata.version("pyarrow"),
        },
    )


def manifest_digest(table: ClipTable) -> str:
    """SHA-256 of everything a manifest says, but where its folder is."""
    digest = hashlib.sha256()
    rows = np.zeros(0, dtype=np.int64) if table.rows is None else table.rows
    arrays = [rows, table.start_s, table.end_s, table.label_ends, table.label_indices, table.split_codes]
    for column in (table.ids, table.paths, table.sha256):
        arrays += [column.text(), column.ends()]
    for array in arrays:
        content = np.ascontiguousarray(array)
        digest.update(f"{content.dtype.str}{content.shape}".encode())
        digest.update(content.tobytes())
    digest.update(json.dumps(table.split_names).encode())
    return digest.hexdigest()
