"""A manifest as one Arrow file that is mapped into memory: it opens in a moment, and all processes share it.

The format is Arrow IPC (https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format): one file to copy, with the
columns as a `ClipTable` holds them, so that nothing is parsed or copied; pandas, polars and DuckDB read it too. A
header in the metadata gives the version, the classes and the digest of every column.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from audio_dcls.data.suffixes import INDEX_SUFFIX
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.indexed_table import IndexedTable, MappedFile
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import ManifestError
from audio_dcls.files import replacing
from audio_dcls.labels import LabelSet

VERSION = 1
METADATA_KEY = b"audio_dcls.clips"
_REMEDY = "write it again by `audio-dcls manifest index`"


def write_index(table: ClipTable, labels: LabelSet, path: str | Path) -> None:
    """Write a table and its classes as an index; an existing file is replaced only by a complete one.

    Relative paths of clips become relative to the folder of `path`. Raise a ManifestError if the name does not end in
    `.clips`, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != INDEX_SUFFIX:
        raise ManifestError(f"'{path}' must end in '{INDEX_SUFFIX}', the extension of an index; rename it")
    header = {
        "version": VERSION,
        "num_clips": len(table),
        "labels_sha256": labels.sha256(),
        "num_labels": len(labels),
        "folder": os.path.relpath(table.folder, path.parent),
        "sha256": _column_digests(table),
    }
    columns = _arrow_columns(table)
    schema = pa.schema([(name, column.type) for name, column in columns.items()])
    schema = schema.with_metadata({METADATA_KEY: json.dumps(header).encode()})
    batch = pa.record_batch(list(columns.values()), schema=schema)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, pa.ipc.new_file(str(temporary), schema) as writer:
            writer.write_batch(batch)
    except OSError as error:
        raise ManifestError(f"'{path}' cannot be written ({error}); make room, or choose another place") from error


def read_index(path: str | Path, labels: LabelSet) -> IndexedTable:
    """Map an index and verify it.

    Raise a ManifestError if the file is missing, damaged, not an index, of a newer version, or was written with other
    classes.
    """
    path = Path(path)
    batch, header, digest = _mapped(path)
    if header["labels_sha256"] != labels.sha256():
        raise ManifestError(
            f"'{path}' was written with {header['num_labels']} other classes than the {len(labels)} given; give the "
            f"label file it was written with, or {_REMEDY}"
        )
    table = _table(path, batch, header)
    found = _column_digests(table)
    wrong = [name for name, expected in header["sha256"].items() if found.get(name) != expected]
    if wrong or len(table) != header["num_clips"]:
        raise ManifestError(f"'{path}' is damaged (columns {wrong}): its SHA-256 differs; fetch it again, or {_REMEDY}")
    return IndexedTable(table, MappedFile(_map_index, path.absolute(), digest))


def _map_index(path: Path, digest: str) -> ClipTable:
    """Map an index that another process has already verified, when `digest` was the SHA-256 of its header."""
    batch, header, found = _mapped(path)
    if found != digest:
        raise ManifestError(f"'{path}' was replaced while it was in use; restart the command")
    return _table(path, batch, header)


def _mapped(path: Path) -> tuple[Any, dict[str, Any], str]:
    """Return the rows, the header, and its digest."""
    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            text = (reader.schema.metadata or {}).get(METADATA_KEY)
            header = json.loads(text) if text else None
            is_readable = header is not None and header["version"] <= VERSION
            batch = reader.get_batch(0) if is_readable else None
    except FileNotFoundError as error:
        raise ManifestError(f"'{path}' does not exist; check the path, or {_REMEDY}") from error
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        detail = " ".join(str(error).split())
        raise ManifestError(f"'{path}' is not a whole index of clips ({detail}); {_REMEDY}") from error
    if header is None or text is None:
        raise ManifestError(f"'{path}' is an Arrow file, but not an index of clips; {_REMEDY}")
    if batch is None:
        raise ManifestError(
            f"'{path}' has version {header['version']} of the index, and this audio-dcls reads up to {VERSION}; "
            f"install a newer one, or {_REMEDY}"
        )
    return batch, header, hashlib.sha256(text).hexdigest()


def _arrow_columns(table: ClipTable) -> dict[str, pa.Array]:
    """The columns as Arrow arrays, which share the memory of the table."""
    offsets = pa.array(np.concatenate([np.zeros(1, dtype=np.int64), table.label_ends]))
    codes = pa.array(table.split_codes.astype(np.int32, copy=False))
    columns = {
        "id": _to_arrow(table.ids),
        "path": _to_arrow(table.paths),
        "start_s": pa.array(table.start_s),
        "end_s": pa.array(table.end_s),
        "labels": pa.LargeListArray.from_arrays(offsets, pa.array(table.label_indices.astype(np.int32, copy=False))),
        "split": pa.DictionaryArray.from_arrays(codes, pa.array(table.split_names, pa.string())),
    }
    if len(table.sha256.text()):
        columns["sha256"] = _to_arrow(table.sha256)
    if table.rows is not None:
        columns["row"] = pa.array(table.rows)
    return columns


def _table(path: Path, batch: Any, header: dict[str, Any]) -> ClipTable:
    """A table whose columns are views of the mapped file."""
    labels, split = batch.column("labels"), batch.column("split")
    names = batch.schema.names
    return ClipTable(
        folder=Path(os.path.normpath(path.parent / header["folder"])),
        ids=_from_arrow(batch.column("id")),
        paths=_from_arrow(batch.column("path")),
        start_s=batch.column("start_s").to_numpy(),
        end_s=batch.column("end_s").to_numpy(),
        label_ends=labels.offsets.to_numpy()[1:],
        label_indices=labels.values.to_numpy(),
        split_codes=split.indices.to_numpy(),
        split_names=tuple(split.dictionary.to_pylist()),
        sha256=_from_arrow(batch.column("sha256")) if "sha256" in names else StringColumn.blank(len(batch)),
        rows=batch.column("row").to_numpy() if "row" in names else None,
    )


def _to_arrow(column: StringColumn) -> Any:
    """Text, or bytes if a file name is not UTF-8."""
    try:
        return column.array.cast(pa.large_string())
    except pa.ArrowInvalid:
        return column.array


def _from_arrow(array: Any) -> StringColumn:
    return StringColumn(array.cast(pa.large_binary()))


def _column_digests(table: ClipTable) -> dict[str, str]:
    """The SHA-256 of each column, in hexadecimal digits."""
    columns: dict[str, list[np.ndarray]] = {
        "id": [table.ids.ends(), table.ids.text()],
        "path": [table.paths.ends(), table.paths.text()],
        "start_s": [table.start_s],
        "end_s": [table.end_s],
        "labels": [table.label_ends, table.label_indices],
        "split": [table.split_codes, np.frombuffer("\n".join(table.split_names).encode(), dtype=np.uint8)],
        "sha256": [table.sha256.text()],
        "row": [] if table.rows is None else [table.rows],
    }
    digests = {}
    for name, arrays in columns.items():
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
        digests[name] = digest.hexdigest()
    return digests
