"""The positions of all rows of a pack: one Arrow file, mapped into memory and shared by all processes.

Each shard has such a file too (`shards/….arrow`), written after the shard: a shard with such a record is complete.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from audio_dcls.data.stores.pack_file import ShardInfo
from audio_dcls.errors import ManifestError

_SHARD_RECORDS_FOLDER = "shards"
METADATA_KEY = b"audio_dcls"
_DIGEST_BYTES = 32
LENGTH_BYTES = 4
"""Parquet's plain encoding puts the length of a value before it, little-endian."""
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "labels": pa.list_(pa.int32()),
        "start_s": pa.float64(),
        "end_s": pa.float64(),
        "offset": pa.int64(),
        "length": pa.int64(),
        "sha256": pa.binary(_DIGEST_BYTES),
        "place": pa.int64(),
    }
)
"""The id; indices into labels.csv; the times of the clip in its sound (NaN if not given); the first byte of the sound
in the shard, and the number of bytes; their SHA-256; the row of the manifest."""


class LeftOut(NamedTuple):
    """A clip of the manifest that could not be packed."""

    id: str
    path: str
    split: str
    reason: str
    """The `reason` of the `AudioFileError`."""
    message: str


@dataclass(frozen=True, eq=False)
class ShardRecord:
    """A written shard: its description, its rows, and the clips that it lacks."""

    info: ShardInfo
    rows: pa.Table
    """One row per clip, in the columns of `SCHEMA`."""
    left_out: tuple[LeftOut, ...]
    plan_digest: str
    """Digest of the plan by which the shard was written."""

    def to_bytes(self) -> bytes:
        """The content of the record file of the shard."""
        document = {
            "plan": self.plan_digest,
            "shard": self.info.model_dump(),
            "left_out": [clip._asdict() for clip in self.left_out],
        }
        schema = SCHEMA.with_metadata({METADATA_KEY: json.dumps(document).encode()})
        return _to_bytes(self.rows.cast(SCHEMA).replace_schema_metadata(schema.metadata))


def record_name(shard_name: str) -> str:
    """The file name of the record of a shard.

    >>> record_name("data/train-00003-of-00012.parquet")
    'shards/train-00003-of-00012.arrow'
    """
    return f"{_SHARD_RECORDS_FOLDER}/{Path(shard_name).stem}.arrow"


def read_record(content: bytes, source: str) -> ShardRecord:
    """Read the output of `ShardRecord.to_bytes`; raise a ManifestError if it is damaged."""
    try:
        with pa.ipc.open_file(pa.BufferReader(content)) as reader:
            rows = reader.read_all()
        document = json.loads(rows.schema.metadata[METADATA_KEY])
        info = ShardInfo.model_validate(document["shard"])
        left_out = tuple(LeftOut(**clip) for clip in document["left_out"])
        return ShardRecord(info, rows.replace_schema_metadata(None), left_out, document["plan"])
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"'{source}' is not a record of a shard ({error}); delete it and pack again") from error


def index_bytes(records: Sequence[ShardRecord]) -> bytes:
    """The index of all shards, in their order."""
    tables = [record.rows for record in records]
    return _to_bytes(pa.concat_tables(tables) if tables else SCHEMA.empty_table())


@dataclass(frozen=True, eq=False)
class PackIndex:
    """The columns of an index of N rows, mapped from its file."""

    batch: pa.RecordBatch

    @classmethod
    def open(cls, path: Path) -> PackIndex:
        """Map an index file; raise a ManifestError if it is missing or damaged."""
        try:
            with pa.memory_map(str(path)) as source:
                reader = pa.ipc.open_file(source)
                batch = reader.get_batch(0) if reader.num_record_batches else pa.RecordBatch.from_pylist([], SCHEMA)
        except FileNotFoundError as error:
            raise ManifestError(f"'{path}' does not exist; the pack is incomplete; pack or fetch it again") from error
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"'{path}' is not an index of a pack ({error}); pack or fetch it again") from error
        if batch.schema.names != SCHEMA.names:
            raise ManifestError(f"'{path}' is not an index of a pack: its columns are {batch.schema.names}; pack again")
        return cls(batch)

    def __len__(self) -> int:
        return self.batch.num_rows

    def numbers(self, name: str) -> np.ndarray:
        """A column of numbers, (N,), not copied."""
        return self.batch.column(name).to_numpy(zero_copy_only=True)

    def digests(self) -> np.ndarray:
        """SHA-256 of every sound, (N, 32) uint8, not copied."""
        column = self.batch.column("sha256")
        content = np.frombuffer(column.buffers()[1], dtype=np.uint8)[: _DIGEST_BYTES * len(self)]
        return content.reshape(-1, _DIGEST_BYTES)


def _to_bytes(table: pa.Table) -> bytes:
    """An Arrow file with a single batch, so that each column is contiguous in memory."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
