"""Assign clips to shards: the manifest alone decides, before the first sound is read.

A clip that cannot be read leaves its shard smaller and does not move other clips, so a rerun writes the same shards.
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

_DATA_FOLDER = "data"


@dataclass(frozen=True)
class PackSettings:
    """The settings of a pack; an ArgumentError names a number that is out of range."""

    codec: Codec = Codec.flac
    sample_rate_hz: int = 32_000
    """Sample rate of the stored sounds, at least 1; Opus stores 48 000 if it does not support the rate."""
    rows_per_shard: int = 500
    """Rows of the manifest per shard, at least 1; 500 clips of 10 s are 170 MB of FLAC."""

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "rows_per_shard"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"`{name}` (={getattr(self, name)}) must be at least 1; raise it")


@dataclass(frozen=True, eq=False)
class Shard:
    """One planned file of a pack."""

    name: str
    """Inside the pack, such as `data/train-00003-of-00012.parquet`."""
    split: str
    places: np.ndarray
    """(n,) int64, the rows of the manifest that it contains, ascending."""


def plan_shards(table: ClipTable, rows_per_shard: int) -> list[Shard]:
    """Divide every split into shards of at most `rows_per_shard` consecutive rows.

    Raise a ManifestError if two splits have the same name after other characters than letters, digits and `_` are
    replaced.
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
                "only letters, digits and '_'; rename one of them"
            )
        pieces = [places[first : first + rows_per_shard] for first in range(0, len(places), rows_per_shard)]
        shards += [
            Shard(f"{_DATA_FOLDER}/{stem}-{number:05d}-of-{len(pieces):05d}.parquet", split, piece)
            for number, piece in enumerate(pieces)
        ]
    return shards


def file_stem(split: str) -> str:
    """The name of a split in the form that the Hugging Face hub accepts.

    >>> file_stem("balanced-train")
    'balanced_train'
    """
    return re.sub(r"\W", "_", split)


def describe_plan(manifest: Manifest, settings: PackSettings) -> PackPlan:
    """The plan of a pack: everything that determines its bytes, so that equal plans give equal packs."""
    return PackPlan(
        codec=settings.codec,
        sample_rate_hz=settings.sample_rate_hz,
        rows_per_shard=settings.rows_per_shard,
        num_clips=len(manifest.clips),
        manifest_sha256=_manifest_digest(manifest.table),
        labels_sha256=manifest.labels.sha256(),
        versions={
            "libsndfile": soundfile.__libsndfile_version__,
            "soxr": importlib.metadata.version("soxr"),
            "pyarrow": importlib.metadata.version("pyarrow"),
        },
    )


def _manifest_digest(table: ClipTable) -> str:
    """The SHA-256 of the content of a manifest, except for its folder."""
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
