"""CSV files: read in pieces, and written completely or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from audio_dcls.errors import ManifestError
from audio_dcls.files import path_remedy, replacing

CHUNK_ROWS = 200_000
_ESCAPED_BYTE = re.compile(r"\\u(dc[89a-f][0-9a-f])")


class Rows(NamedTuple):
    """N consecutive rows of a CSV file, as text."""

    numbers: np.ndarray
    """(N,) int64, row numbers in the file, counted from 1."""
    columns: list[np.ndarray]
    """One (N,) object array of strings per column."""


def read_csv(path: Path, *, skip_rows: int = 0) -> Iterator[Rows]:
    r"""Read a CSV file in UTF-8 as text, up to 200 000 rows at a time, after skipping `skip_rows` rows.

    No cell is interpreted ("NA" stays "NA"). Spaces after a comma are dropped, short rows are filled with empty cells,
    and blank rows are left out but counted. Escapes \udc80 to \udcff are bytes of a file's name that is not UTF-8, as
    `write_csv_pieces` writes them. Raise a ManifestError if the file is missing, empty, not UTF-8, or a row
    has more cells than the first.
    """
    num_rows = 0
    try:
        with pd.read_csv(
            path,
            header=None,
            skiprows=skip_rows,
            dtype=object,
            na_filter=False,
            skip_blank_lines=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
            chunksize=CHUNK_ROWS,
        ) as reader:
            for frame in reader:
                columns = [_with_bytes(frame[column].to_numpy(dtype=object)) for column in frame.columns]
                numbers = np.arange(num_rows, num_rows + len(frame), dtype=np.int64) + 1 + skip_rows
                num_rows += len(frame)
                filled = np.logical_or.reduce([column != "" for column in columns])
                yield Rows(numbers[filled], [column[filled] for column in columns])
    except FileNotFoundError as error:
        raise ManifestError(f"'{path}' does not exist; {path_remedy(path)}") from error
    except pd.errors.EmptyDataError as error:
        raise ManifestError(f"'{path}' is empty, or its first row is; is it the right file?") from error
    except pd.errors.ParserError as error:
        raise ManifestError(f"'{path}' {_explain(error, path)}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"'{path}' is not a CSV file in UTF-8 (byte 0x{error.object[error.start]:02x} near row {num_rows + 1}); "
            "give the manifest, or save it again as UTF-8"
        ) from error
    except OSError as error:
        raise ManifestError(f"'{path}' cannot be read: {error.strerror}; check its kind and permissions") from error


def _with_bytes(cells: np.ndarray) -> np.ndarray:
    """Replace escaped bytes of names by what Python has for such bytes."""
    if "\\udc" not in "\n".join(cells):
        return cells
    return np.array([_ESCAPED_BYTE.sub(lambda found: chr(int(found[1], 16)), cell) for cell in cells], dtype=object)


def _explain(error: pd.errors.ParserError, path: Path) -> str:
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
    if found:
        expected, row, seen = found.groups()
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            separator = next((mark for mark in (";", "\t") if mark in stream.readline()), None)
        if expected == "1" and separator is not None:
            named = {";": "semicolons", "\t": "tabs"}[separator]
            return f"separates its cells by {named}; save it with commas, and with points in its numbers"
        rule = f"row {row} has {seen} cells where the first row has {expected}"
        return f"{rule}; put a cell that holds a comma in double quotes"
    if "EOF inside string" in str(error):
        row = int(str(error).rsplit(" ", 1)[-1]) + 1
        return f"row {row} opens a double quote that is never closed; close it"
    return f"is not a CSV file: {' '.join(str(error).split())}"


def write_csv_pieces(path: Path, pieces: Iterable[dict[str, Sequence[object]]]) -> None:
    """Write a CSV file some rows at a time, so that the whole table is never in memory as text.

    Each piece has columns of the same names; there is at least one piece, which may have no rows. An existing file is
    replaced only by a complete one. Raise a ManifestError if the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
        ):
            for number, columns in enumerate(pieces):
                frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
                frame.to_csv(stream, index=False, header=number == 0, lineterminator="\n")
    except OSError as error:
        raise ManifestError(f"'{path}' cannot be written: {error.strerror}; choose another place") from error
