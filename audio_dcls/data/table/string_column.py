"""Many short strings in two arrays.

Two million Python strings cost a hundred bytes each and are copied into every forked worker as their reference counts
are touched; here a string costs its own bytes plus eight, and nothing is touched by reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

ENCODING = "utf-8"
ERRORS = "surrogateescape"  # file names on Linux need not be valid UTF-8


class StringColumn(Sequence[str]):
    """An immutable sequence of strings, packed.

    Args:
        text: (num_bytes,) uint8, all strings in UTF-8, one after the other.
        ends: (num_strings,) int64, where each string ends in `text`.

    >>> column = StringColumn.from_strings(["a", "", "née"])
    >>> len(column), column[2], column.take(np.array([2, 0])).to_list()
    (3, 'née', ['née', 'a'])
    """

    def __init__(self, text: np.ndarray, ends: np.ndarray) -> None:
        self.text = text
        self.ends = ends

    @classmethod
    def from_strings(cls, strings: Sequence[str] | np.ndarray) -> StringColumn:
        """Pack strings."""
        joined = "".join(strings)
        encoded = joined.encode(ENCODING, ERRORS)
        sized = strings if len(encoded) == len(joined) else [string.encode(ENCODING, ERRORS) for string in strings]
        lengths = np.fromiter(map(len, sized), dtype=np.int64, count=len(strings))
        return cls(np.frombuffer(encoded, dtype=np.uint8), np.cumsum(lengths))

    @classmethod
    def concatenate(cls, columns: Sequence[StringColumn]) -> StringColumn:
        """One column after the other."""
        if not columns:
            return cls.from_strings([])
        offsets = np.cumsum([0] + [len(column.text) for column in columns[:-1]])
        ends = [column.ends + offset for column, offset in zip(columns, offsets, strict=True)]
        return cls(np.concatenate([column.text for column in columns]), np.concatenate(ends))

    def take(self, indices: np.ndarray) -> StringColumn:
        """The strings at `indices` ((n,) integers), in that order, in memory of their own."""
        starts = self._starts()[indices]
        lengths = self.ends[indices] - starts
        ends = np.cumsum(lengths)
        return StringColumn(self.text[spans(starts, lengths)], ends)

    def to_list(self) -> list[str]:
        """All strings at once, faster than one by one."""
        return self.text_of(0, len(self))

    def text_of(self, first: int, last: int) -> list[str]:
        """Strings `first` .. `last` - 1."""
        ends = self.ends[first:last]
        if not len(ends):
            return []
        start = int(self.ends[first - 1]) if first else 0
        ends = (ends - start).tolist()
        encoded = self.text[start : start + ends[-1]].tobytes()
        bounds = zip([0, *ends[:-1]], ends, strict=True)
        joined = encoded.decode(ENCODING, ERRORS)
        if len(joined) == len(encoded):
            return [joined[start:end] for start, end in bounds]
        return [encoded[start:end].decode(ENCODING, ERRORS) for start, end in bounds]

    def _starts(self) -> np.ndarray:
        return np.concatenate([np.zeros(1, dtype=np.int64), self.ends[:-1]])[: len(self.ends)]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        index = range(len(self))[index]
        return self.text_of(index, index + 1)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_list())


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Positions of consecutive runs: start, start + 1, ... for each (start, length), one after the other.

    Args:
        starts: (n,) int64, first position of each run.
        lengths: (n,) int64, number of positions in each run, at least 0.

    Shape: (sum of lengths,) int64.

    >>> spans(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total, dtype=np.int64)
