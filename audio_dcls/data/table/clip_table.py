"""A table that holds millions of clips.

A `ClipTable` behaves as a sequence of `Clip`, but holds columns: a clip object is created on access. The columns are
arrays, so forked workers share them and they pickle fast.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.string_column import StringColumn

_CLIPS_AT_ONCE = 4096
NO_ROW = -1
_ROW_COLUMNS = ("ids", "paths", "start_s", "end_s", "split_codes", "sha256", "rows")


@dataclass(frozen=True, eq=False)
class ClipTable(Sequence[Clip]):
    """An immutable sequence of clips, stored as columns.

    Shape: N clips, L labels in total.
    """

    folder: Path
    """Paths are relative to this folder, unless absolute."""
    ids: StringColumn
    """(N,) unique names."""
    paths: StringColumn
    """(N,) sound files."""
    start_s: np.ndarray
    """(N,) float64, NaN if not given."""
    end_s: np.ndarray
    """(N,) float64, NaN if not given."""
    label_ends: np.ndarray
    """(N,) int64, the position in `label_indices` after the last label of each clip."""
    label_indices: np.ndarray
    """(L,) int32, the labels of all clips, in the order of the clips."""
    split_codes: np.ndarray
    """(N,) int32, index into `split_names`."""
    split_names: tuple[str, ...]
    """Names of the splits, in order of first appearance."""
    sha256: StringColumn
    """(N,) SHA-256 digests, empty if not known."""
    rows: np.ndarray | None = None
    """(N,) int64, rows in stores of many clips, -1 for a file of its own; None if no clip has a row."""

    @classmethod
    def from_clips(cls, clips: Iterable[Clip]) -> ClipTable:
        """Turn clip objects into columns; paths stay as they are."""
        clips = list(clips)
        split_names = tuple(dict.fromkeys(clip.split for clip in clips))
        code_of = {name: code for code, name in enumerate(split_names)}
        rows = np.array([NO_ROW if clip.row is None else clip.row for clip in clips], dtype=np.int64)
        return cls(
            folder=Path(),
            ids=StringColumn.from_strings([clip.id for clip in clips]),
            paths=StringColumn.from_strings([str(clip.path) for clip in clips]),
            start_s=np.array([np.nan if clip.start_s is None else clip.start_s for clip in clips], dtype=np.float64),
            end_s=np.array([np.nan if clip.end_s is None else clip.end_s for clip in clips], dtype=np.float64),
            label_ends=np.cumsum([len(clip.labels) for clip in clips], dtype=np.int64),
            label_indices=np.array([label for clip in clips for label in clip.labels], dtype=np.int32),
            split_codes=np.array([code_of[clip.split] for clip in clips], dtype=np.int32),
            split_names=split_names,
            sha256=StringColumn.from_strings([clip.sha256 or "" for clip in clips]),
            rows=rows if (rows != NO_ROW).any() else None,
        )

    @classmethod
    def from_store(
        cls, folder: Path, name: str, ids: Sequence[str], labels: tuple[np.ndarray, np.ndarray], split: str
    ) -> ClipTable:
        """All rows of a store of clips, the file `name` in `folder`; `labels` are `label_ends`, `label_indices`."""
        num_clips = len(ids)
        return cls(
            folder=folder,
            ids=StringColumn.from_strings(ids),
            paths=StringColumn.from_strings([name] * num_clips),
            start_s=np.full(num_clips, np.nan),
            end_s=np.full(num_clips, np.nan),
            label_ends=labels[0],
            label_indices=labels[1],
            split_codes=np.zeros(num_clips, dtype=np.int32),
            split_names=(split,),
            sha256=StringColumn.blank(num_clips),
            rows=np.arange(num_clips, dtype=np.int64),
        )

    @classmethod
    def concatenate(cls, tables: Sequence[ClipTable]) -> ClipTable:
        """Join tables, at least one, in order."""
        is_one_folder = len({table.folder for table in tables}) == 1
        split_names = tuple(dict.fromkeys(name for table in tables for name in table.split_names))
        codes = [np.array([split_names.index(name) for name in table.split_names], dtype=np.int32) for table in tables]
        label_counts = np.concatenate([table.label_counts() for table in tables])
        rows = [np.full(len(table), NO_ROW) if table.rows is None else table.rows for table in tables]
        return cls(
            folder=tables[0].folder if is_one_folder else Path(),
            ids=StringColumn.concatenate([table.ids for table in tables]),
            paths=StringColumn.concatenate([table.paths if is_one_folder else table.full_paths() for table in tables]),
            start_s=np.concatenate([table.start_s for table in tables]),
            end_s=np.concatenate([table.end_s for table in tables]),
            label_ends=np.cumsum(label_counts),
            label_indices=np.concatenate([table.label_indices for table in tables]),
            split_codes=np.concatenate([code[table.split_codes] for code, table in zip(codes, tables, strict=True)]),
            split_names=split_names,
            sha256=StringColumn.concatenate([table.sha256 for table in tables]),
            rows=np.concatenate(rows) if any(table.rows is not None for table in tables) else None,
        )

    def take(self, indices: np.ndarray) -> ClipTable:
        """The clips at `indices` ((n,) integers, or (N,) booleans), in that order."""
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices
        label_ends, label_indices = take_lists(self.label_ends, self.label_indices, indices)
        taken = {name: take_rows(getattr(self, name), indices) for name in _ROW_COLUMNS}
        return self.with_columns(**taken, label_ends=label_ends, label_indices=label_indices)

    def with_columns(self, **columns: Any) -> ClipTable:
        """A table in memory with other values for some fields."""
        return ClipTable(**({field.name: getattr(self, field.name) for field in fields(ClipTable)} | columns))

    def full_paths(self) -> StringColumn:
        """The paths, each joined to the folder."""
        return StringColumn.from_strings([os.path.join(self.folder, path) for path in self.paths])

    def label_counts(self) -> np.ndarray:
        """The number of labels of each clip, (N,) int64."""
        return np.diff(self.label_ends, prepend=0)

    def split_sizes(self) -> dict[str, int]:
        """The number of clips of each split that has clips, in order of first appearance."""
        counts = np.bincount(self.split_codes, minlength=len(self.split_names))
        return {name: int(count) for name, count in zip(self.split_names, counts, strict=True) if count}

    def __len__(self) -> int:
        return len(self.ids)

    @typing.overload
    def __getitem__(self, index: int) -> Clip: ...

    @typing.overload
    def __getitem__(self, index: slice) -> ClipTable: ...

    def __getitem__(self, index: int | slice) -> Clip | ClipTable:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        return self._clips(index, index + 1)[0]

    def __iter__(self) -> Iterator[Clip]:
        for first in range(0, len(self), _CLIPS_AT_ONCE):
            yield from self._clips(first, min(first + _CLIPS_AT_ONCE, len(self)))

    def _clips(self, first: int, last: int) -> list[Clip]:
        """Clip objects for rows `first` to `last` - 1."""
        rows = slice(first, last)
        first_label = int(self.label_ends[first - 1]) if first else 0
        ends = (self.label_ends[rows] - first_label).tolist()
        labels = self.label_indices[first_label : first_label + ends[-1]].tolist()
        columns = zip(
            self.ids.slice(first, last),
            self.paths.slice(first, last),
            self.start_s[rows].tolist(),
            self.end_s[rows].tolist(),
            [0, *ends[:-1]],
            ends,
            self.split_codes[rows].tolist(),
            self.sha256.slice(first, last),
            [NO_ROW] * (last - first) if self.rows is None else self.rows[rows].tolist(),
            strict=True,
        )
        return [
            Clip(
                id=id_,
                path=self.folder / path,
                start_s=None if start_s != start_s else start_s,
                end_s=None if end_s != end_s else end_s,
                labels=tuple(labels[first_label:end_label]),
                split=self.split_names[code],
                sha256=sha256 or None,
                row=None if row == NO_ROW else row,
            )
            for id_, path, start_s, end_s, first_label, end_label, code, sha256, row in columns
        ]


def take_lists(ends: np.ndarray, values: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose among lists that are stored one after the other, where `ends` (n,) is the end of each list in `values`.

    Return where each list chosen by `indices` (k,) ends, (k,) int64, and the values of the chosen lists.

    >>> take_lists(np.array([2, 5]), np.array([7, 8, 4, 5, 6]), np.array([1, 0]))
    (array([3, 5]), array([4, 5, 6, 7, 8]))
    """
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), ends])
    lists = pa.LargeListArray.from_arrays(offsets, pa.array(values)).take(pa.array(indices))
    return lists.offsets.to_numpy()[1:], lists.values.to_numpy()


def take_rows(column: np.ndarray | StringColumn | None, indices: np.ndarray) -> np.ndarray | StringColumn | None:
    """The values of a column at `indices` (k,); None for a column that does not exist."""
    return None if column is None else column.take(indices)
