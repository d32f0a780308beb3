"""The CSV file of a report: one row per clip, usable or not, with its measurements.

A later check reads only the files that are new or have changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from audio_dcls.data.audit.outcomes import CONTENT_BYTES, NO_FILE, RECORD, UNKNOWN, USABLE, OutcomeTable
from audio_dcls.data.audit.problems import ClipWarning
from audio_dcls.data.audit.report import ClipReport, absolute_paths
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.csv_file import read_csv, write_csv_pieces
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import ManifestError

REPORT_COLUMNS = (
    *("id", "path", "start_s", "end_s", "split", "sha256", "reason", "message", "num_bytes", "modified_ns", "row"),
    *("duration_s", "clipped_share", "content", "warnings"),
)
_SEPARATOR = ";"
_ROWS_AT_ONCE = 65_536


def write_report(report: ClipReport, path: str | Path) -> None:
    """Write one row per clip, usable or not; raise a ManifestError if the file cannot be written."""
    num_clips = len(report.table)
    kinds: dict[int, list[str]] = {}
    messages = {row: [message] for row, message in report.outcomes.messages.items()}
    for warning in report.clip_warnings:
        kinds.setdefault(warning.index, []).append(warning.reason)
        messages.setdefault(warning.index, []).append(warning.message)
    firsts = range(0, max(num_clips, 1), _ROWS_AT_ONCE)
    ranges = (range(first, min(first + _ROWS_AT_ONCE, num_clips)) for first in firsts)
    write_csv_pieces(Path(path), (_columns(report, kinds, messages, rows) for rows in ranges))


def read_report(path: str | Path) -> ClipReport:
    """Read a report, whose clips have no labels; raise a ManifestError if the file is not a report."""
    path = Path(path)
    pieces: list[ClipReport] = []
    for numbers, columns in read_csv(path):
        if not pieces:
            header = tuple(column[0] for column in columns)
            if header != REPORT_COLUMNS:
                raise ManifestError(
                    f"'{path}', row 1, is not the header of a clip report ({','.join(header)[:60]!r}); delete the "
                    "file, or name another"
                )
            numbers, columns = numbers[1:], [column[1:] for column in columns]
        pieces.append(_Piece(path, numbers, dict(zip(REPORT_COLUMNS, columns, strict=True))).report())
    return ClipReport.concatenate(pieces)


def _columns(
    report: ClipReport, kinds: Mapping[int, Sequence[str]], messages: Mapping[int, Sequence[str]], rows: range
) -> dict[str, Sequence[object]]:
    """The cells of consecutive rows."""
    table, outcomes = report.table.take(np.array(rows, dtype=np.int64)), report.outcomes
    records = outcomes.records[rows.start : rows.stop]
    contents = records["content"].tolist()
    return {
        "id": table.ids.to_list(),
        "path": absolute_paths(table),
        "start_s": _number_cells(table.start_s),
        "end_s": _number_cells(table.end_s),
        "split": [table.split_names[code] for code in table.split_codes.tolist()],
        "sha256": table.sha256.to_list(),
        "reason": [outcomes.reason_names[code] for code in records["reason"].tolist()],
        "message": [" ".join(messages.get(row, ())) for row in rows],
        "num_bytes": records["num_bytes"].tolist(),
        "modified_ns": records["modified_ns"].tolist(),
        "row": [""] * len(table) if table.rows is None else ["" if r < 0 else str(r) for r in table.rows.tolist()],
        "duration_s": _number_cells(records["duration_s"]),
        "clipped_share": _number_cells(records["clipped_share"]),
        "content": [content.ljust(CONTENT_BYTES, b"\0").hex() if content else "" for content in contents],
        "warnings": [_SEPARATOR.join(kinds.get(row, ())) for row in rows],
    }


def _number_cells(values: np.ndarray) -> list[str]:
    """Numbers as text; an empty cell for NaN and -1."""
    return ["" if value != value or value == UNKNOWN else repr(value) for value in values.tolist()]


class _Piece:
    """Some rows of a report file as columns of text."""

    def __init__(self, path: Path, numbers: np.ndarray, cells: dict[str, np.ndarray]) -> None:
        self.path, self.numbers, self.cells = path, numbers, cells

    def report(self) -> ClipReport:
        """The rows, converted from text; raise a ManifestError if a cell does not fit its column.

        Messages of warnings are not kept: a clip's messages are one cell, and judging the clips makes them again.
        """
        cells = self.cells["warnings"]
        rows = np.flatnonzero(cells != "").tolist()
        warnings = tuple(ClipWarning(row, kind, "") for row in rows for kind in cells[row].split(_SEPARATOR))
        return ClipReport(self._table(), self._outcomes(), warnings)

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
        first = np.array([USABLE], dtype=object)  # gives a usable clip code 0
        codes, names = pd.factorize(np.concatenate([first, self.cells["reason"]]))
        records = np.zeros(len(self.numbers), dtype=RECORD)
        records["reason"] = codes[1:]
        for column, dtype, absent in (
            ("num_bytes", np.int64, NO_FILE),
            ("modified_ns", np.int64, NO_FILE),
            ("duration_s", np.float64, UNKNOWN),
            ("clipped_share", np.float64, UNKNOWN),
        ):
            records[column] = self._parsed(column, dtype, absent)
        try:
            records["content"] = [bytes.fromhex(cell) for cell in self.cells["content"]]
        except ValueError as error:
            raise self._wrong("content", bytes.fromhex) from error
        messages = self.cells["message"]
        rows = np.flatnonzero((codes[1:] != 0) & (messages != ""))
        return OutcomeTable(records, tuple(names), {int(row): messages[row] for row in rows})

    def _parsed(self, column: str, dtype: type, absent: float) -> np.ndarray:
        """A column of numbers, with `absent` for an empty cell."""
        try:
            return np.array([cell or absent for cell in self.cells[column]], dtype=object).astype(dtype)
        except ValueError as error:
            raise self._wrong(column, dtype) from error

    def _wrong(self, column: str, convert: Callable[[str], object]) -> ManifestError:
        """The error that names the first cell of a column that cannot be converted."""
        cells = self.cells[column]
        place = next(place for place, cell in enumerate(cells) if cell and not _can_convert(cell, convert))
        return ManifestError(
            f"'{self.path}', row {self.numbers[place]}, is not a row of a clip report: column '{column}' "
            f"(={cells[place]!r}); delete the file, or name another"
        )


def _can_convert(cell: str, convert: Callable[[str], object]) -> bool:
    try:
        convert(cell)
    except ValueError:
        return False
    return True
