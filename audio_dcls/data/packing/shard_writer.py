"""Write a shard: a Parquet file in the layout of the Hugging Face `datasets` Audio feature.

The sounds are written without Parquet's encodings and compression: each occupies one stretch of the file, which can be
read by offset and length without Parquet. (Encoded sound does not compress, and all sounds differ.)
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audio_dcls.data.packing.clip_encoder import PackedClip
from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.index import LENGTH_BYTES
from audio_dcls.data.stores.index import SCHEMA as INDEX_SCHEMA
from audio_dcls.errors import ManifestError
from audio_dcls.labels import LabelSet

_ROW_GROUP_ROWS = 100
"""The value that `datasets` uses for sound: readers without our index load whole row groups."""
_ROW_GROUP_BYTES = 2**28
"""A row group ends early when it reaches this size, because Arrow counts the bytes of a column in 31 bits."""
_MAX_SOUND_BYTES = 2**31 - 2**20

Row = tuple[int, PackedClip]
"""The row of the manifest, and the clip."""


def _shard_schema(settings: PackSettings) -> pa.Schema:
    """The columns of a shard, with the metadata by which `datasets` recognises them.

    The codec `source` keeps the times of the clip; the other codecs store only the clip itself.
    """
    text = {"dtype": "string", "_type": "Value"}
    fields = {
        "id": (pa.string(), text),
        "audio": (
            pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            {"sampling_rate": settings.sample_rate_hz, "_type": "Audio"},
        ),
        "labels": (pa.list_(pa.string()), {"feature": text, "_type": "Sequence"}),
    }
    if settings.codec is Codec.source:
        time = (pa.float64(), {"dtype": "float64", "_type": "Value"})
        fields |= {"start_s": time, "end_s": time}
    fields["sha256"] = (pa.string(), text)
    features = {name: feature for name, (_, feature) in fields.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema({name: kind for name, (kind, _) in fields.items()}, metadata=metadata)


def write_shard(path: Path, rows: Iterable[Row], labels: LabelSet, settings: PackSettings) -> pa.Table:
    """Write the file of a shard, and return its rows for the index, in the columns of `index.SCHEMA`.

    Memory holds one row group at a time. Raise a ManifestError if a sound is too long for a row.
    """
    schema = _shard_schema(settings)
    parts: list[pa.Table] = []
    position = 0
    # No statistics of the sounds, which would compare large values for no use.
    statistics = [name for name in schema.names if name not in ("audio", "labels")]
    with pa.OSFile(str(path), "wb") as sink:
        options = {"compression": "none", "use_dictionary": False, "write_statistics": statistics}
        with pq.ParquetWriter(sink, schema, **options) as writer:
            for group in _row_groups(rows):
                writer.write_table(_parquet_rows(group, labels, schema), row_group_size=len(group))
                sink.flush()
                offsets, position = _find_sounds(path, group, position)
                parts.append(_index_rows(group, offsets))
    return pa.concat_tables(parts) if parts else INDEX_SCHEMA.empty_table()


def _row_groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    num_bytes = 0
    for row in rows:
        length = len(row[1].content)
        if length > _MAX_SOUND_BYTES:
            raise ManifestError(
                f"clip '{row[1].clip.id}' would store {length / 2**30:.1f} GiB in one row, which must be under 2; cut "
                "the recording, or pack with --codec flac, which stores only the clip"
            )
        if group and (len(group) >= _ROW_GROUP_ROWS or num_bytes + length > _ROW_GROUP_BYTES):
            yield group
            group, num_bytes = [], 0
        group.append(row)
        num_bytes += length
    if group:
        yield group


def _parquet_rows(group: list[Row], labels: LabelSet, schema: pa.Schema) -> pa.Table:
    clips = [packed for _, packed in group]
    columns = {
        "id": [packed.clip.id for packed in clips],
        "audio": [{"bytes": packed.content, "path": packed.file_name} for packed in clips],
        "labels": [[labels.ids[index] for index in packed.clip.labels] for packed in clips],
        "start_s": [packed.start_s for packed in clips],
        "end_s": [packed.end_s for packed in clips],
        "sha256": [packed.sha256.hex() for packed in clips],
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _find_sounds(path: Path, group: list[Row], position: int) -> tuple[list[int], int]:
    """Find the first byte of each sound of a row group that was just written, and the end of the last sound.

    Each search starts at the end of the sound before, and compares the length and all bytes of the sound, so an offset
    cannot be wrong. At most a few bytes are between two sounds.
    """
    offsets = []
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for _, packed in group:
            length = len(packed.content).to_bytes(LENGTH_BYTES, "little")
            found = content.find(length + packed.content, position)
            if found < 0:
                raise ManifestError(
                    f"'{path}': pyarrow {pa.__version__} did not write the sound of clip '{packed.clip.id}' in one "
                    "piece; install the version of pyarrow this package is tested with (constraints.txt)"
                )
            offsets.append(found + LENGTH_BYTES)
            position = found + LENGTH_BYTES + len(packed.content)
    return offsets, position


def _index_rows(group: list[Row], offsets: list[int]) -> pa.Table:
    clips = [packed for _, packed in group]
    columns = {
        "id": [packed.clip.id for packed in clips],
        "labels": [list(packed.clip.labels) for packed in clips],
        "start_s": [np.nan if packed.start_s is None else packed.start_s for packed in clips],
        "end_s": [np.nan if packed.end_s is None else packed.end_s for packed in clips],
        "offset": offsets,
        "length": [len(packed.content) for packed in clips],
        "sha256": [packed.sha256 for packed in clips],
        "place": [place for place, _ in group],
    }
    return pa.table(columns, schema=INDEX_SCHEMA)
