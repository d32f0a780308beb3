"""A manifest as one Arrow file that is mapped into memory: it opens in a moment, and all processes share it.

The format is Arrow IPC (https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format): one file to copy, with the
columns as a `ClipTable` holds them, so that nothing is parsed or copied; pandas, polars and DuckDB read it too. A
header in the metadata gives the version, the classes and the digest of every column.

Forked workers share the map. A spawned worker receives the name of the file and the selected rows, and maps it itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from audio_dcls.data.suffixes import INDEX_SUFFIX
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable, take_lists, take_rows
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import ManifestError
from audio_dcls.files import path_remedy, replacing
from audio_dcls.labels import LabelSet

VERSION = 1
METADATA_KEY = b"audio_dcls.clips"
_REMEDY = "write it again by `audio-dcls manifest index`"
_ONE_FOR_ALL = ("folder", "split_names")
_MAX_SPREAD = 4
"""Clips of a piece are read together if they are spread over at most this many times as many rows."""


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
        raise ManifestError(f"'{path}' does not exist; {path_remedy(path)}, or {_REMEDY}") from error
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


class MappedFile(NamedTuple):
    """The reference by which another process opens the same columns."""

    open: Callable[[Path, str], ClipTable]
    """A module-level function that takes path and digest, and returns all clips of the file."""
    path: Path
    """Absolute, because a spawned process may have another working directory."""
    digest: str
    """SHA-256 of the header, by which a file that was replaced in the meantime is refused."""


class _Column:
    """A column of an `IndexedTable`: the selected rows are copied from the map on first access."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, table: IndexedTable, owner: type) -> Any:
        table.__dict__[self.name] = column = table._cut(self.name)
        return column


class IndexedTable(ClipTable):
    """The rows `picked` ((N,) integers; None for all) of a mapped table, whose columns `base` are views of the map.

    A whole column is copied from the map on first access; single clips are read from the map. `with_columns` and
    `concatenate` return a plain table in memory.
    """

    def __init__(self, base: ClipTable, file: MappedFile, picked: np.ndarray | None = None) -> None:
        self._base, self._file, self._picked = base, file, picked

    def take(self, indices: np.ndarray) -> IndexedTable:
        """The clips at `indices` ((n,) integers, or (N,) booleans), in that order; no column is copied."""
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices
        picked = np.arange(len(self))[indices] if self._picked is None else self._picked[indices]
        is_all = len(picked) == len(self._base) and np.array_equal(picked, np.arange(len(picked)))
        dtype = np.int32 if len(self._base) <= np.iinfo(np.int32).max else np.int64  # half the memory in every worker
        return IndexedTable(self._base, self._file, None if is_all else picked.astype(dtype))

    def __len__(self) -> int:
        return len(self._base) if self._picked is None else len(self._picked)

    def _cut(self, name: str) -> Any:
        column = getattr(self._base, name)
        if self._picked is None or name in _ONE_FOR_ALL:
            return column
        if name == "label_ends":
            return np.cumsum(self._base.label_counts()[self._picked])
        if name == "label_indices":
            return take_lists(self._base.label_ends, column, self._picked)[1]
        return take_rows(column, self._picked)

    def _clips(self, first: int, last: int) -> list[Clip]:
        if self._picked is None:
            return self._base._clips(first, last)
        rows = self._picked[first:last].tolist()
        lowest, highest = min(rows), max(rows)
        if highest - lowest < _MAX_SPREAD * len(rows):
            clips = self._base._clips(lowest, highest + 1)
            return [clips[row - lowest] for row in rows]
        return [self._base._clips(row, row + 1)[0] for row in rows]

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._file, self._picked)


for _field in fields(ClipTable):
    setattr(IndexedTable, _field.name, _Column(_field.name))


def _reopened(file: MappedFile, picked: np.ndarray | None) -> IndexedTable:
    """Rebuild the table in another process."""
    return IndexedTable(file.open(file.path, file.digest), file, picked)
