"""A clip table whose columns stay in a file that is mapped into memory, and a selection of its rows.

Forked workers share the map. A spawned worker receives the name of the file and the selected rows, and maps it itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable, take_lists, take_rows

_ONE_FOR_ALL = ("folder", "split_names")
_MAX_SPREAD = 4
"""Clips of a piece are read together if they are spread over at most this many times as many rows."""


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
