"""The outcome of a check, clip by clip, and its CSV file.

The file has a row a clip, usable or not, with what was measured of it: a later check reads only new and changed files.

N clips.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from audio_dcls.data.clip_table import Clip, ClipTable
from audio_dcls.data.csv_file import read_csv, write_csv
from audio_dcls.data.outcome_table import CONTENT_BYTES, UNKNOWN, OutcomeTable
from audio_dcls.data.string_column import StringColumn
from audio_dcls.errors import ManifestError

FORMER_COLUMNS = ("id", "path", "start_s", "end_s", "split", "sha256", "reason", "message", "num_bytes", "modified_ns")
"""Of reports without measurements; what they say of a file that is there is found out again."""
COLUMNS = (*FORMER_COLUMNS, "row", "duration_s", "clipped_share", "content", "warnings")
SEPARATOR = ";"


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
        write_csv(Path(path), _columns(self))

    @classmethod
    def from_csv(cls, path: str | Path) -> ClipReport:
        """Read what `to_csv` wrote. A report holds no labels: its clips have none.

        Raises:
            ManifestError: the file is missing, or is not a report.
        """
        path = Path(path)
        header: tuple[str, ...] = ()
        pieces: list[_Piece] = []
        for numbers, columns in read_csv(path):
            if not header:
                header = _header(path, tuple(column[0] for column in columns))
                numbers, columns = numbers[1:], [column[1:] for column in columns]
            pieces.append(_Piece(path, numbers, dict(zip(header, columns, strict=True))))
        return _joined(pieces)


def sound_paths(table: ClipTable) -> list[str]:
    """(N,) the clips' files, absolute."""
    return [os.path.abspath(path) for path in table.full_paths()]


def _columns(report: ClipReport) -> dict[str, Sequence[object]]:
    table, outcomes = report.table, report.outcomes
    kinds: dict[int, list[str]] = {}
    for warning in report.clip_warnings:
        kinds.setdefault(warning.index, []).append(warning.reason)
    num_clips = len(table)
    return {
        "id": table.ids.to_list(),
        "path": sound_paths(table),
        "start_s": _number_cells(table.start_s),
        "end_s": _number_cells(table.end_s),
        "split": [table.split_names[code] for code in table.split_codes.tolist()],
        "sha256": table.sha256.to_list(),
        "reason": outcomes.reasons(0, num_clips),
        "message": [outcomes.messages.get(row, "") for row in range(num_clips)],
        "num_bytes": outcomes.num_bytes.tolist(),
        "modified_ns": outcomes.modified_ns.tolist(),
        "row": [""] * num_clips if table.rows is None else ["" if r < 0 else str(r) for r in table.rows.tolist()],
        "duration_s": _number_cells(outcomes.duration_s),
        "clipped_share": _number_cells(outcomes.clipped_share),
        "content": [
            content.ljust(CONTENT_BYTES, b"\0").hex() if content else "" for content in outcomes.content.tolist()
        ],
        "warnings": [SEPARATOR.join(kinds.get(row, ())) for row in range(num_clips)],
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

    def parsed(self, column: str, dtype: type, absent: float) -> np.ndarray:
        """A column of numbers; `absent` where a cell is empty."""
        cells = self.cells[column]
        try:
            return np.array([cell or absent for cell in cells], dtype=object).astype(dtype)
        except ValueError as error:
            raise self._wrong(column, dtype) from error

    def content(self) -> np.ndarray:
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


def _joined(pieces: Sequence[_Piece]) -> ClipReport:
    """Pieces of a file as one report."""
    texts = {
        column: StringColumn.concatenate([StringColumn.from_strings(piece.cells[column]) for piece in pieces])
        for column in ("id", "path", "sha256")
    }
    codes, names = pd.factorize(np.concatenate([piece.cells["split"] for piece in pieces]))
    num_clips = len(codes)
    rows = _numbers(pieces, "row", np.int64, -1)
    table = ClipTable(
        folder=Path(),
        ids=texts["id"],
        paths=texts["path"],
        start_s=_numbers(pieces, "start_s", np.float64, np.nan),
        end_s=_numbers(pieces, "end_s", np.float64, np.nan),
        label_ends=np.zeros(num_clips, dtype=np.int64),
        label_indices=np.zeros(0, dtype=np.int32),
        split_codes=codes.astype(np.int32),
        split_names=tuple(names),
        sha256=texts["sha256"],
        rows=rows if (rows >= 0).any() else None,
    )
    return ClipReport(table, _outcomes(pieces), tuple(_warnings(pieces)))


def _outcomes(pieces: Sequence[_Piece]) -> OutcomeTable:
    codes, names = pd.factorize(np.concatenate([np.array([""], dtype=object), *(p.cells["reason"] for p in pieces)]))
    messages = np.concatenate([np.zeros(0, dtype=object), *(piece.cells["message"] for piece in pieces)])
    return OutcomeTable(
        reason_codes=codes[1:].astype(np.int16),
        reason_names=tuple(names),
        messages={int(row): messages[row] for row in np.flatnonzero(messages != "")},
        num_bytes=_numbers(pieces, "num_bytes", np.int64, -1),
        modified_ns=_numbers(pieces, "modified_ns", np.int64, -1),
        duration_s=_numbers(pieces, "duration_s", np.float64, UNKNOWN),
        clipped_share=_numbers(pieces, "clipped_share", np.float64, UNKNOWN),
        content=np.concatenate([np.zeros(0, dtype=f"S{CONTENT_BYTES}"), *(piece.content() for piece in pieces)]),
    )


def _numbers(pieces: Sequence[_Piece], column: str, dtype: type, absent: float) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=dtype), *(piece.parsed(column, dtype, absent) for piece in pieces)])


def _warnings(pieces: Sequence[_Piece]) -> Iterable[ClipWarning]:
    """Kinds of warnings; their sentences are not written."""
    first = 0
    for piece in pieces:
        cells = piece.cells["warnings"]
        for row in np.flatnonzero(cells != "").tolist():
            yield from (ClipWarning(first + row, kind, "") for kind in cells[row].split(SEPARATOR))
        first += len(cells)
