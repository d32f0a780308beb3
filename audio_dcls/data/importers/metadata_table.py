"""The CSV file of a dataset: columns by name, rules for cells, and classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from audio_dcls.data.table.csv_file import read_csv
from audio_dcls.data.table.manifest_rows import Piece
from audio_dcls.errors import LabelError, ManifestError
from audio_dcls.labels import LabelSet
from audio_dcls.near_names import near_names


class MetadataTable(Piece):
    """Some columns of a CSV file, N rows, without empty cells and without outer spaces.

    Every method that checks a rule raises a ManifestError, which names the file, the row and the value.
    """

    @classmethod
    def read(cls, path: Path, columns: Sequence[str], *, dataset: str, has_header: bool = True) -> MetadataTable:
        """Read some columns of the CSV file of a dataset; messages name the dataset.

        If the file has a header, other columns are ignored; if not, `columns` names all its columns, in order. Raise a
        ManifestError if the file is missing, has no rows, lacks a column, or a cell is empty.
        """
        if not path.is_file():
            raise ManifestError(
                f"'{path}' does not exist; give the folder that {dataset} unpacks to, which holds that file"
            )
        pieces = list(read_csv(path))
        numbers = np.concatenate([piece.numbers for piece in pieces])
        cells = [np.concatenate(parts) for parts in zip(*(piece.columns for piece in pieces), strict=True)]
        cells = [np.array([cell.strip() for cell in column], dtype=object) for column in cells]
        if has_header:
            header = [str(column[0]) for column in cells]
            wanted = {name: cells[_position(path, header, name, dataset)][1:] for name in columns}
            numbers = numbers[1:]
        elif len(cells) != len(columns):
            raise ManifestError(
                f"'{path}', row {numbers[0]}, has {len(cells)} cells; {dataset} has {len(columns)} there: "
                f"{', '.join(columns)}; use its original file"
            )
        else:
            wanted = dict(zip(columns, cells, strict=True))
        if not len(numbers):
            raise ManifestError(f"'{path}' lists no clip below its header; use the original file of {dataset}")
        table = cls(path, numbers, wanted)
        for name in columns:
            table.reject(name, wanted[name] == "", "must not be empty; fill it in")
        return table

    def take(self, kept: np.ndarray) -> MetadataTable:
        """The rows where `kept` ((N,) booleans) holds."""
        columns = {name: column[kept] for name, column in self.columns.items()}
        return MetadataTable(self.path, self.numbers[kept], columns)

    def integers(self, column: str, low: int, high: int | None = None) -> np.ndarray:
        """A column as whole numbers (N,) int64, at least `low` and, if given, at most `high`."""
        cells = self.columns[column]
        is_number = np.array([cell.isdecimal() and cell.isascii() and len(cell) < 10 for cell in cells], dtype=bool)
        values = np.array([int(cell) if good else -1 for cell, good in zip(cells, is_number, strict=True)])
        rule = f"at least {low}" if high is None else f"{low} to {high}"
        wrong = ~is_number | (values < low) | (high is not None and values > high)
        self.reject(column, wrong, f"must be a whole number, {rule}; fix it")
        return values.astype(np.int64)

    def require_unique(self, column: str) -> None:
        """Refuse a column in which two rows have the same cell."""
        repeated = pd.Series(self.columns[column]).duplicated().to_numpy()
        if repeated.any():
            cell = self.columns[column][int(np.argmax(repeated))]
            first = self.numbers[int(np.argmax(self.columns[column] == cell))]
            self.reject(column, repeated, f"is also that of row {first}; remove one of the rows")

    def one_of(self, column: str, allowed: Sequence[str]) -> list[str]:
        """A column whose cells are limited to some words."""
        wrong = ~np.isin(self.columns[column].astype(str), list(allowed))
        self.reject(column, wrong, f"must be {' or '.join(map(repr, allowed))}; fix it")
        return self.columns[column].tolist()

    def classes(self, number_column: str, name_column: str, num_classes: int) -> tuple[LabelSet, np.ndarray]:
        """The C classes in the order of their numbers, and the class of each row, (N,) int64 indices.

        Numbers are 0 to `num_classes` - 1, the number of classes of the whole dataset. If numbers are missing, as in a
        part of a dataset, the remaining classes are renumbered without gaps. Identifiers are the names as written;
        display names have spaces instead of underscores. Refuse a number that has two names, or a name that has two
        numbers.
        """
        numbers = self.integers(number_column, 0, num_classes - 1)
        names = self.columns[name_column]
        name_of: dict[int, str] = {}
        number_of: dict[str, int] = {}
        rows = list(zip(numbers.tolist(), names, strict=True))
        clashes = [name_of.setdefault(n, name) != name or number_of.setdefault(name, n) != n for n, name in rows]
        if any(clashes):
            first = clashes.index(True)
            number, name = rows[first]
            rule = f"must be {name_of[number]!r}, as in another row of {number_column} {number}"
            if name_of[number] == name:
                rule = f"must keep {number_column} {number_of[name]}, as in another row, not {number}"
            self.reject(name_column, np.array(clashes), f"{rule}; fix one of the two")
        distinct, indices = np.unique(numbers, return_inverse=True)
        ids = [name_of[number] for number in distinct.tolist()]
        return label_set(self.path, ids, [spaced(name) for name in ids]), indices


def label_set(path: Path, ids: Sequence[str], names: Sequence[str]) -> LabelSet:
    """A label set; raise a ManifestError, which names the file or folder, if the names do not form one."""
    try:
        return LabelSet(ids=tuple(ids), names=tuple(names))
    except LabelError as error:
        raise ManifestError(f"'{path}': {error}") from error


def spaced(name: str) -> str:
    """The display name of a class.

    >>> spaced("Acoustic_guitar")
    'Acoustic guitar'
    """
    return " ".join(name.replace("_", " ").split())


def _position(path: Path, header: list[str], name: str, dataset: str) -> int:
    """The position of a column."""
    if header.count(name) == 1:
        return header.index(name)
    near = near_names(name, header, min_similarity=0.7)
    hint = f"rename '{near[0]}'?" if near and name not in header else f"use the original file of {dataset}"
    raise ManifestError(
        f"'{path}' must name the column '{name}' once in its first row ({','.join(header)[:80]!r}), "
        f"which has it {header.count(name)} times; {hint}"
    )
