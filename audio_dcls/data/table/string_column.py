"""Many short strings in one Arrow array.

Two million Python strings cost a hundred bytes each, and forked workers copy them as their reference counts change.
Here a string costs its own bytes and eight more, and reading changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

_ENCODING = "utf-8"
_ERRORS = "surrogateescape"  # file names on Linux need not be valid UTF-8


class StringColumn(Sequence[str]):
    """An immutable sequence of strings: `array` is large_binary without nulls, each string in UTF-8.

    >>> column = StringColumn.from_strings(["a", "", "née"])
    >>> len(column), column[2], column.take(np.array([2, 0])).to_list()
    (3, 'née', ['née', 'a'])
    """

    def __init__(self, array: Any) -> None:
        self.array = array

    @classmethod
    def from_strings(cls, strings: Sequence[str] | np.ndarray) -> StringColumn:
        """A column of the given strings."""
        try:
            return cls(pa.array(strings, pa.large_string()).cast(pa.large_binary()))
        except UnicodeEncodeError:
            return cls(pa.array([string.encode(_ENCODING, _ERRORS) for string in strings], pa.large_binary()))

    @classmethod
    def blank(cls, num_strings: int) -> StringColumn:
        """A column of empty strings; untouched zeros take no memory."""
        ends = pa.py_buffer(np.zeros(num_strings + 1, dtype=np.int64))
        return cls(pa.Array.from_buffers(pa.large_binary(), num_strings, [None, ends, pa.py_buffer(b"")]))

    @classmethod
    def concatenate(cls, columns: Sequence[StringColumn]) -> StringColumn:
        """One column after the other."""
        return cls(pa.concat_arrays([column.array for column in columns])) if columns else cls.from_strings([])

    def take(self, indices: np.ndarray) -> StringColumn:
        """The strings at `indices` ((n,) integers), in that order, in memory of their own."""
        return StringColumn(self.array.take(pa.array(indices)))

    def to_list(self) -> list[str]:
        """All strings at once, faster than one by one."""
        return self.slice(0, len(self))

    def slice(self, first: int, last: int) -> list[str]:
        """Strings `first` .. `last` - 1."""
        return [text.decode(_ENCODING, _ERRORS) for text in self.array.slice(first, last - first).to_pylist()]

    def ends(self) -> np.ndarray:
        """The end of each string in `text()`, (num_strings,) int64."""
        offsets = self._offsets()
        return offsets[1:] - offsets[0]

    def text(self) -> np.ndarray:
        """All strings in UTF-8, one after the other, (num_bytes,) uint8."""
        offsets = self._offsets()
        return np.frombuffer(self.array.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]

    def _offsets(self) -> np.ndarray:
        if not len(self):
            return np.zeros(1, dtype=np.int64)
        offsets = np.frombuffer(self.array.buffers()[1], dtype=np.int64)
        return offsets[self.array.offset : self.array.offset + len(self) + 1]

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.array[range(len(self))[index]].as_py().decode(_ENCODING, _ERRORS)

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_list())
