"""The outcome of a check, clip by clip, and its CSV file.

The file has a row a clip, usable or not, with what was measured of it: a later check reads only new and changed files.

N clips.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from audio_dcls.data.audit.outcomes import CONTENT_BYTES, NO_FILE, UNKNOWN, USABLE, OutcomeTable
from audio_dcls.data.table.clip_table import Clip, ClipTable
from audio_dcls.data.table.csv_file import read_csv, write_csv_pieces
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import ManifestError

FORMER_COLUMNS = ("id", "path", "start_s", "end_s", "split", "sha256", "reason", "message", "num_bytes", "modified_ns")
"""Of reports without measurements; what they say of a file that is there is found out again."""
COLUMNS = (*FORMER_COLUMNS, "row", "duration_s", "clipped_share", "content", "warnings")
SEPARATOR = ";"
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class ClipProblem:
    """What is wrong with a clip."""

    id: str
    path: Path
    split: str
    reason: str
    """The name of one of `clip_kinds.KINDS`."""
    message: str
    """One sentence that names the file and the remedy."""


@dataclass(frozen=True, slots=True, order=True)
class ClipWarning:
    """Something to know about a clip that can be used."""

    index: int
    """Its place in the report."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a split, or of a class, can be used."""

    num_listed: int
    num_usable: int

    @property
    def fraction(self) -> float:
        """Usable clips over listed ones, 0 to 1."""
        return self.num_usable / self.num_listed


@dataclass(frozen=True)
class ClipReport:
    """The outcome of a check, clip by clip, in the order they were given."""

    table: ClipTable
    outcomes: OutcomeTable
    clip_warnings: tuple[ClipWarning, ...] = ()
    """In the order of the clips; a clip may have several."""

    @property
    def clips(self) -> Sequence[Clip]:
        """The clips that were checked."""
        return self.table

    @functools.cached_property
    def usable(self) -> ClipTable:
        """Clips that can be used."""
        return self.table.take(self.outcomes.is_usable)

    @functools.cached_property
    def problems(self) -> list[ClipProblem]:
        """Clips that cannot be used, each with its reason."""
        rows = np.flatnonzero(~self.outcomes.is_usable)
        clips = self.table.take(rows)
        return [
            ClipProblem(clip.id, clip.path, clip.split, outcome.reason, outcome.message)
            for clip, outcome in zip(clips, map(self.outcomes.__getitem__, rows.tolist()), strict=True)
        ]

    @functools.cached_property
    def warnings(self) -> list[ClipProblem]:
        """What is said of clips that can be used; a clip may have several."""
        clips = self.table.take(np.array([warning.index for warning in self.clip_warnings], dtype=np.int64))
        return [
            ClipProblem(clip.id, clip.path, clip.split, warning.reason, warning.message)
            for clip, warning in zip(clips, self.clip_warnings, strict=True)
        ]

    def coverage(self) -> dict[str, Coverage]:
        """How much of each split can be used, in order of first appearance."""
        usable = self.usable.split_sizes()
        return {split: Coverage(count, usable.get(split, 0)) for split, count in self.table.split_sizes().items()}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClipReport):
            return NotImplemented
        return (
            len(self.table) == len(other.table)
            and all(a == b for a, b in zip(self.table, other.table, strict=True))
            and self.outcomes == other.outcomes
            and self.clip_warnings == other.clip_warnings
        )

    __hash__ = None  # type: ignore[assignment]

    def to_csv(self, path: str | Path) -> None:
        """Write one row a clip, usable or not.

        Raises:
            ManifestError: the file cannot be written.
        """
        num_clips = len(self.table)
        kinds: dict[int, list[str]] = {}
        sentences = {row: [message] for row, message in self.outcomes.messages.items()}
        for warning in self.clip_warnings:
            kinds.setdefault(warning.index, []).append(warning.reason)
            sentences.setdefault(warning.index, []).append(warning.message)
        firsts = range(0, max(num_clips, 1), ROWS_AT_ONCE)
        pieces = (_columns(self, kinds, sentences, first, min(first + ROWS_AT_ONCE, num_clips)) for first in firsts)
        write_csv_pieces(Path(path), pieces)

    @classmethod
    def from_csv(cls, path: str | Path) -> ClipReport:
        """Read what `to_csv` wrote. A report holds no labels: its clips have none.

        Raises:
            ManifestError: the file is missing, or is not a report.
        """
        path = Path(path)
        header: tuple[str, ...] = ()
        pieces: list[ClipReport] = []
        for numbers, columns in read_csv(path):
            if not header:
                header = _header(path, tuple(column[0] for column in columns))
                numbers, columns = numbers[1:], [column[1:] for column in columns]
            pieces.append(_Piece(path, numbers, dict(zip(header, columns, strict=True))).report())
        return _joined(pieces)


def sound_paths(table: ClipTable) -> list[str]:
    """(N,) the clips' files, absolute."""
    return [os.path.abspath(path) for path in table.full_paths()]


def _columns(
    report: ClipReport,
    kinds: Mapping[int, Sequence[str]],
    sentences: Mapping[int, Sequence[str]],
    first: int,
    last: int,
) -> dict[str, Sequence[object]]:
    """Cells of rows `first` .. `last` - 1."""
    table, outcomes, rows = report.table.take(np.arange(first, last)), report.outcomes, slice(first, last)
    contents = outcomes.content[rows].tolist()
    return {
        "id": table.ids.to_list(),
        "path": sound_paths(table),
        "start_s": _number_cells(table.start_s),
        "end_s": _number_cells(table.end_s),
        "split": [table.split_names[code] for code in table.split_codes.tolist()],
        "sha256": table.sha256.to_list(),
        "reason": outcomes.reasons(first, last),
        "message": [" ".join(sentences.get(row, ())) for row in range(first, last)],
        "num_bytes": outcomes.num_bytes[rows].tolist(),
        "modified_ns": outcomes.modified_ns[rows].tolist(),
        "row": [""] * len(table) if table.rows is None else ["" if r < 0 else str(r) for r in table.rows.tolist()],
        "duration_s": _number_cells(outcomes.duration_s[rows]),
        "clipped_share": _number_cells(outcomes.clipped_share[rows]),
        "content": [content.ljust(CONTENT_BYTES, b"\0").hex() if content else "" for content in contents],
        "warnings": [SEPARATOR.join(kinds.get(row, ())) for row in range(first, last)],
    }


def _number_cells(values: np.ndarray) -> list[str]:
    """Numbers as text, none for NaN and -1."""
    return ["" if value != value or value == UNKNOWN else repr(value) for value in values.tolist()]


def _header(path: Path, header: tuple[str, ...]) -> tuple[str, ...]:
    if header not in (COLUMNS, FORMER_COLUMNS):
        raise ManifestError(
            f"'{path}', row 1, is not the header of a clip report ({','.join(header)[:60]!r}); delete the file, or "
            "name another"
        )
    return header


class _Piece:
    """Some rows of a report file as columns."""

    def __init__(self, path: Path, numbers: np.ndarray, cells: dict[str, np.ndarray]) -> None:
        self.path, self.numbers = path, numbers
        empty = np.full(len(numbers), "", dtype=object)
        self.cells = {column: cells.get(column, empty) for column in COLUMNS}

    def report(self) -> ClipReport:
        """The rows, checked and without the text they were.

        Raises:
            ManifestError: a cell is not what its column holds.
        """
        return ClipReport(self._table(), self._outcomes(), tuple(self._warnings()))

    def _table(self) -> ClipTable:
        codes, names = pd.factorize(self.cells["split"])
        rows = self._parsed("row", np.int64, -1)
        return ClipTable(
            folder=Path(),
            ids=StringColumn.from_strings(self.cells["id"]),
            paths=StringColumn.from_strings(self.cells["path"]),
            start_s=self._parsed("start_s", np.float64, np.nan),
            end_s=self._parsed("end_s", np.float64, np.nan),
            label_ends=np.zeros(len(codes), dtype=np.int64),
            label_indices=np.zeros(0, dtype=np.int32),
            split_codes=codes.astype(np.int32),
            split_names=tuple(names),
            sha256=StringColumn.from_strings(self.cells["sha256"]),
            rows=rows if (rows >= 0).any() else None,
        )

    def _outcomes(self) -> OutcomeTable:
        usable = np.array([USABLE], dtype=object)  # the first code
        codes, names = pd.factorize(np.concatenate([usable, self.cells["reason"]]))
        messages, is_fault = self.cells["message"], codes[1:] != 0
        return OutcomeTable(
            reason_codes=codes[1:].astype(np.int16),
            reason_names=tuple(names),
            messages={int(row): messages[row] for row in np.flatnonzero(is_fault & (messages != ""))},
            num_bytes=self._parsed("num_bytes", np.int64, NO_FILE),
            modified_ns=self._parsed("modified_ns", np.int64, NO_FILE),
            duration_s=self._parsed("duration_s", np.float64, UNKNOWN),
            clipped_share=self._parsed("clipped_share", np.float64, UNKNOWN),
            content=self._content(),
        )

    def _warnings(self) -> Iterator[ClipWarning]:
        """Kinds of warnings; a clip's sentences stand together in the file, and are made anew."""
        cells = self.cells["warnings"]
        for row in np.flatnonzero(cells != "").tolist():
            yield from (ClipWarning(row, kind, "") for kind in cells[row].split(SEPARATOR))

    def _parsed(self, column: str, dtype: type, absent: float) -> np.ndarray:
        """A column of numbers; `absent` where a cell is empty."""
        cells = self.cells[column]
        try:
            return np.array([cell or absent for cell in cells], dtype=object).astype(dtype)
        except ValueError as error:
            raise self._wrong(column, dtype) from error

    def _content(self) -> np.ndarray:
        """Digests as bytes."""
        cells = self.cells["content"]
        try:
            return np.array([bytes.fromhex(cell) for cell in cells], dtype=f"S{CONTENT_BYTES}")
        except ValueError as error:
            raise self._wrong("content", bytes.fromhex) from error

    def _wrong(self, column: str, convert: Callable[[str], object]) -> ManifestError:
        """What is wrong with the first cell of a column that cannot be converted."""
        cells = self.cells[column]
        place = next(place for place, cell in enumerate(cells) if cell and not _is_good(cell, convert))
        return ManifestError(
            f"'{self.path}', row {self.numbers[place]}, is not a row of a clip report: column '{column}' "
            f"(={cells[place]!r}); delete the file, or name another"
        )


def _is_good(cell: str, convert: Callable[[str], object]) -> bool:
    try:
        convert(cell)
    except ValueError:
        return False
    return True


def _joined(pieces: Sequence[ClipReport]) -> ClipReport:
    """Pieces of a file as one report."""
    table = ClipTable.concatenate([piece.table for piece in pieces])
    outcomes = OutcomeTable.concatenate([piece.outcomes for piece in pieces])
    warnings: list[ClipWarning] = []
    first = 0
    for piece in pieces:
        warnings += [replace(warning, index=first + warning.index) for warning in piece.clip_warnings]
        first += len(piece.table)
    return ClipReport(table, outcomes, tuple(warnings))
