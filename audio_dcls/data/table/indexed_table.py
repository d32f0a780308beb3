"""A clip table whose columns stay in a file that is mapped into memory, and a choice of its rows.

Shape: N clips chosen.

Forked workers share the map; a spawned one is sent the file's name and the chosen rows, and maps it itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from audio_dcls.data.table.clip_table import Clip, ClipTable
from audio_dcls.data.table.string_column import spans

COLUMNS = frozenset(field.name for field in fields(ClipTable))
ONE_FOR_ALL = ("folder", "split_names")
MAX_SPREAD = 4
"""Clips of one piece are read together where they lie among at most this many times as many rows."""


class MappedFile(NamedTuple):
    """How another process finds the same columns."""

    open: Callable[[Path, str], ClipTable]
    """A module's function: path and digest to all clips of the file."""
    path: Path
    """Absolute: a spawned process may work elsewhere."""
    digest: str
    """Of the content: a file that was replaced meanwhile is refused."""


class IndexedTable(ClipTable):
    """Some rows of a mapped table, which behave as a table of their own; made by `of`.

    A column is cut out of the map when it is first asked for as a whole; single clips are read from the map. What
    `dataclasses.replace` or `concatenate` makes of it is a plain table in memory.
    """

    _base: ClipTable
    _file: MappedFile
    _picked: np.ndarray | None

    def __new__(cls, *args: Any, **columns: Any) -> Any:
        """An empty shell for `of`; with columns, as `dataclasses.replace` gives them, a plain table."""
        return ClipTable(*args, **columns) if args or columns else object.__new__(cls)

    def __init__(self) -> None:
        """Set nothing: columns come from the map."""

    @classmethod
    def of(cls, base: ClipTable, file: MappedFile, picked: np.ndarray | None = None) -> IndexedTable:
        """Rows of a mapped table.

        Args:
            base: every clip of the file, its columns views of the map.
            file: how to map it again.
            picked: (N,) integers, rows of the file; None for all.
        """
        table = cls()
        for name, value in (("_base", base), ("_file", file), ("_picked", picked)):
            object.__setattr__(table, name, value)
        return table

    def take(self, indices: np.ndarray) -> IndexedTable:
        """The clips at `indices` ((n,) integers, or (N,) booleans), in that order; no column is copied."""
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices
        picked = np.arange(len(self))[indices] if self._picked is None else self._picked[indices]
        is_all = len(picked) == len(self._base) and np.array_equal(picked, np.arange(len(picked)))
        dtype = np.int32 if len(self._base) <= np.iinfo(np.int32).max else np.int64  # half as much in every worker
        return IndexedTable.of(self._base, self._file, None if is_all else picked.astype(dtype))

    def __len__(self) -> int:
        return len(self._base) if self._picked is None else len(self._picked)

    def __getattr__(self, name: str) -> Any:
        """A column, cut out of the map once."""
        if name not in COLUMNS:
            raise AttributeError(f"'{type(self).__name__}' has no attribute '{name}'")
        column = self._column(name)
        object.__setattr__(self, name, column)
        return column

    def _column(self, name: str) -> Any:
        column = getattr(self._base, name)
        if self._picked is None or name in ONE_FOR_ALL or column is None:
            return column
        if name in ("label_ends", "label_indices"):
            lengths = self._base.label_counts()[self._picked]
            if name == "label_ends":
                return np.cumsum(lengths)
            return column[spans(self._base.label_ends[self._picked] - lengths, lengths)]
        return column[self._picked] if isinstance(column, np.ndarray) else column.take(self._picked)

    def _clips(self, first: int, last: int) -> list[Clip]:
        if self._picked is None:
            return self._base._clips(first, last)
        rows = self._picked[first:last].tolist()
        lowest, highest = min(rows), max(rows)
        if highest - lowest < MAX_SPREAD * len(rows):
            clips = self._base._clips(lowest, highest + 1)
            return [clips[row - lowest] for row in rows]
        return [self._base._clips(row, row + 1)[0] for row in rows]

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._file, self._picked)


def _reopened(file: MappedFile, picked: np.ndarray | None) -> IndexedTable:
    """The table in another process."""
    return IndexedTable.of(file.open(file.path, file.digest), file, picked)
