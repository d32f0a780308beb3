"""Read a manifest CSV: check it column by column and turn it into a clip table.

Rows are read in pieces, so that memory holds the table and one piece; each rule is applied to a whole column at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from audio_dcls.data.table.clip_table import NO_ROW, ClipTable, take_lists
from audio_dcls.data.table.csv_file import read_csv
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import LabelError, ManifestError
from audio_dcls.labels import SEPARATOR, LabelSet
from audio_dcls.near_names import near_names

_SEGMENTS_MARK = b"# Segments csv"
_REQUIRED = ("id", "path", "start_s", "end_s", "labels", "split")
DIGEST = "sha256"
_ROW = "row"


def read_manifest(path: Path, labels: LabelSet) -> ClipTable:
    """Read and check a manifest CSV; `load_manifest` lists the errors."""
    _check_kind(path)
    header: list[str] = []
    rows = ClipRows(path, labels, path.parent)
    for numbers, columns in read_csv(path):
        if not header:
            header = _check_header(path, [column[0].strip() for column in columns])
            numbers, columns = numbers[1:], [column[1:] for column in columns]
        rows.add(numbers, dict(zip(header, columns, strict=True)))
    return rows.table()


def _check_kind(path: Path) -> None:
    """Refuse AudioSet's segments files, which begin with a comment that names them."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_SEGMENTS_MARK))
    except OSError:
        return  # reading the file reports the reason
    if start == _SEGMENTS_MARK:
        raise ManifestError(
            f"'{path}' is a segments file of AudioSet, not a manifest; convert it: audio-dcls manifest audioset "
            f"--audio DIR --segments {path} --out manifest.csv"
        )


def _check_header(path: Path, header: list[str]) -> list[str]:
    """Return the header if it has every required column once."""
    if len(header) == 1 and any(separator in header[0] for separator in ";\t|"):
        raise ManifestError(f"'{path}' does not separate its columns by commas ({header[0]!r}); use commas")
    for column in _REQUIRED:
        if header.count(column) == 1:
            continue
        if column in header:
            raise ManifestError(f"'{path}' has the column '{column}' {header.count(column)} times; keep one")
        near = near_names(column, [name for name in header if name not in _REQUIRED])
        hint = f"rename '{near[0]}'?" if near else "add it"
        raise ManifestError(
            f"'{path}' has no column '{column}' in its first row ({','.join(header)[:80]!r}); {hint} "
            f"A manifest needs {', '.join(_REQUIRED)}"
        )
    return header


@dataclass
class LabelColumn:
    """Parses label cells, each distinct cell of a piece once; messages name `source`, the file."""

    source: Path
    labels: LabelSet
    separator: str = SEPARATOR
    _index_of: dict[str, int] = field(default_factory=dict, init=False)

    def parse(self, numbers: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parse the label cells ((n,) strings) of some rows, which messages name by their `numbers` (n,) in the file.

        Return the position after the last label of each row (n,) int64, and the labels of all rows, int32. Raise a
        ManifestError if a cell has no label, or an unknown one.
        """
        codes, distinct = pd.factorize(cells)
        parsed: list[list[int]] = []
        for code, cell in enumerate(distinct):
            try:
                parsed.append(self._parse(cell))
            except LabelError as error:
                row = numbers[int(np.argmax(codes == code))]
                where = f"'{self.source}', row {row}: column 'labels' (={cell!r})"
                raise ManifestError(f"{where}: {error}") from error
        counts = np.array([len(indices) for indices in parsed], dtype=np.int64)
        flat = np.array([index for indices in parsed for index in indices], dtype=np.int32)
        return take_lists(np.cumsum(counts), flat, codes)

    def _parse(self, cell: str) -> list[int]:
        """The indices of the labels of a cell, each once, in the order written."""
        keys = [key for key in cell.split(self.separator) if key.strip()]
        if not keys:
            raise LabelError(f"a clip needs a label; write one or more, separated by '{self.separator}'")
        for key in keys:
            if key not in self._index_of:
                self._index_of[key] = self._lookup(key)
        return list(dict.fromkeys(self._index_of[key] for key in keys))

    def _lookup(self, key: str) -> int:
        try:
            return self.labels.index(key)
        except LabelError as error:
            if self.separator != "," and "," in key and all(self._is_known(part) for part in key.split(",")):
                raise LabelError(
                    f"labels are separated by '{self.separator}', not by a comma; write "
                    f"{self.separator.join(part.strip() for part in key.split(','))!r}"
                ) from error
            raise

    def _is_known(self, key: str) -> bool:
        try:
            self.labels.index(key)
        except LabelError:
            return False
        return True


class ClipRows:
    """Collects checked pieces of a manifest, whose paths are relative to `folder`; messages name the file, `source`."""

    def __init__(self, source: Path, labels: LabelSet, folder: Path, *, label_separator: str = SEPARATOR) -> None:
        self.source, self.folder = source, folder
        self.labels = LabelColumn(source, labels, separator=label_separator)
        self.pieces: list[ClipTable] = []
        self.row_numbers: list[np.ndarray] = []

    def add(self, numbers: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """Check one piece and add it; raise a ManifestError if a cell breaks its rule.

        `numbers` (n,) are the row numbers in the file. `columns` has each required column, and `sha256` and `row` if
        the file has them, (n,) strings.
        """
        piece = Piece(self.source, numbers, columns)
        for column in ("id", "path", "split"):
            piece.reject(column, columns[column] == "", "must not be empty; fill it in")
        start_s, end_s = piece.times("start_s"), piece.times("end_s")
        piece.reject("start_s", start_s >= end_s, "must be less than end_s of that row; swap or fix them", also="end_s")
        label_ends, label_indices = self.labels.parse(numbers, columns["labels"])
        codes, cells = pd.factorize(columns["split"])
        names = [cell.strip() for cell in cells]
        split_names = tuple(dict.fromkeys(names))
        table = ClipTable(
            folder=self.folder,
            ids=StringColumn.from_strings(columns["id"]),
            paths=StringColumn.from_strings(columns["path"]),
            start_s=start_s,
            end_s=end_s,
            label_ends=label_ends,
            label_indices=label_indices,
            split_codes=np.array([split_names.index(name) for name in names], dtype=np.int32)[codes],
            split_names=split_names,
            sha256=piece.digests(),
            rows=piece.rows(),
        )
        self.pieces.append(table)
        self.row_numbers.append(numbers)

    def table(self) -> ClipTable:
        """All pieces, at least one, as one table; raise a ManifestError if two rows have the same id."""
        table = ClipTable.concatenate(self.pieces)
        texts = table.ids.to_list()
        repeated = pd.Series(texts, dtype=object).duplicated().to_numpy()
        if repeated.any():
            second = int(np.argmax(repeated))
            rows = np.concatenate(self.row_numbers)
            first = rows[texts.index(texts[second])]
            raise ManifestError(
                f"'{self.source}', row {rows[second]}: column 'id' (={texts[second]!r}) is also that of row {first}; "
                f"give every clip its own id{others(repeated)}"
            )
        return table


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows of a CSV file, with the rules for their cells; messages name the file, the row and the value."""

    path: Path
    numbers: np.ndarray
    """(n,) int64, row numbers in the file, counted from 1."""
    columns: dict[str, np.ndarray]
    """(n,) strings per column."""

    def times(self, column: str) -> np.ndarray:
        """Seconds (n,) float64, NaN where a cell is empty."""
        codes, cells = pd.factorize(self.columns[column])
        distinct_s = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
        given = np.array([bool(cell.strip()) for cell in cells], dtype=bool)
        wrong = given & ~(np.isfinite(distinct_s) & (distinct_s >= 0))
        self.reject(column, wrong[codes], "must be a number of seconds, 0 or more, or empty; fix it")
        return distinct_s[codes]

    def digests(self) -> StringColumn:
        """SHA-256 digests in lower case, empty where the cell is."""
        if DIGEST not in self.columns:
            return StringColumn.from_strings([""] * len(self.numbers))
        digests = [cell.strip().lower() for cell in self.columns[DIGEST]]
        wrong = np.array([bool(digest) and not re.fullmatch("[0-9a-f]{64}", digest) for digest in digests], dtype=bool)
        self.reject(DIGEST, wrong, "must be 64 hexadecimal digits, or empty; write it again with sha256sum")
        return StringColumn.from_strings(digests)

    def rows(self) -> np.ndarray | None:
        """Rows of stores (n,) int64, `NO_ROW` where a cell is empty; None if all are."""
        if _ROW not in self.columns or not any(map(str.strip, self.columns[_ROW])):
            return None
        cells = [cell.strip() for cell in self.columns[_ROW]]
        wrong = np.array([bool(cell) and not re.fullmatch("[0-9]{1,18}", cell) for cell in cells], dtype=bool)
        self.reject(_ROW, wrong, "must be the number of a row of a store, 0 or more, or empty; fix it")
        return np.array([int(cell) if cell else NO_ROW for cell in cells], dtype=np.int64)

    def reject(self, column: str, wrong: np.ndarray, rule: str, also: str | None = None) -> None:
        """Raise an error for the first row where `wrong` ((n,) booleans) is true, if there is one.

        The message ends with `rule`, the rule and its remedy, and shows the cell in `column` and, if given, in `also`.
        """
        if not wrong.any():
            return
        first = int(np.argmax(wrong))
        value = f"{self.columns[column][first]!r}" + (f", {also} ={self.columns[also][first]!r}" if also else "")
        where = f"'{self.path}', row {self.numbers[first]}: column '{column}' (={value})"
        raise ManifestError(f"{where} {rule}{others(wrong)}")


def others(wrong: np.ndarray) -> str:
    """The end of a message that says how many more rows are wrong; empty for a single row.

    >>> others(np.array([True, False, True]))
    ' (1 more row like it)'
    """
    more = int(wrong.sum()) - 1
    return f" ({more} more row{'s' if more > 1 else ''} like it)" if more else ""
