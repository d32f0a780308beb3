"""What was found out about each of many clips, in columns: two million rows are 90 MB.

N clips.
"""

from __future__ import annotations

import typing
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from audio_dcls.data.audit.fault_kinds import DERIVED

USABLE = ""
NO_FILE = -1
UNKNOWN = -1.0
CONTENT_BYTES = 16


class Outcome(NamedTuple):
    """What was found out about a clip, and the state its file was in."""

    reason: str
    """Kind of its fault; empty for a clip that can be used."""
    message: str
    num_bytes: int
    """Size of the file, -1 if there is none."""
    modified_ns: int
    """Time of the file's last change, -1 if there is none."""
    duration_s: float = UNKNOWN
    """Length of its sound, -1 where none was decoded."""
    clipped_share: float = UNKNOWN
    """Share of its samples at full scale, 0 to 1; -1 where none was decoded."""
    content: bytes = b""
    """Digest of its decoded samples, 16 bytes; empty where none was decoded."""


@dataclass(frozen=True, eq=False)
class OutcomeTable(Sequence[Outcome]):
    """An immutable sequence of outcomes, kept as columns."""

    reason_codes: np.ndarray
    """(N,) int16, index into `reason_names`."""
    reason_names: tuple[str, ...]
    """The first is that of a usable clip."""
    messages: Mapping[int, str]
    """Sentences of the clips that have one, by row."""
    num_bytes: np.ndarray
    """(N,) int64."""
    modified_ns: np.ndarray
    """(N,) int64."""
    duration_s: np.ndarray
    """(N,) float64."""
    clipped_share: np.ndarray
    """(N,) float64."""
    content: np.ndarray
    """(N,) bytes of 16."""

    @classmethod
    def from_outcomes(cls, outcomes: Iterable[Outcome]) -> OutcomeTable:
        """Turn outcomes into columns, one at a time."""
        builder = OutcomeBuilder()
        builder.extend(outcomes)
        return builder.table()

    @classmethod
    def concatenate(cls, tables: Sequence[OutcomeTable]) -> OutcomeTable:
        """One table after the other; at least one."""
        names = tuple(dict.fromkeys(name for table in tables for name in table.reason_names))
        codes = [np.array([names.index(name) for name in table.reason_names], dtype=np.int16) for table in tables]
        firsts = np.cumsum([0, *(len(table) for table in tables)]).tolist()
        columns = ("num_bytes", "modified_ns", "duration_s", "clipped_share", "content")
        return cls(
            reason_codes=np.concatenate([code[table.reason_codes] for code, table in zip(codes, tables, strict=True)]),
            reason_names=names,
            messages={
                first + row: text
                for first, table in zip(firsts, tables, strict=False)
                for row, text in table.messages.items()
            },
            **{column: np.concatenate([getattr(table, column) for table in tables]) for column in columns},
        )

    @property
    def is_usable(self) -> np.ndarray:
        """(N,) bool, whether a clip has no fault."""
        return self.reason_codes == 0

    def with_faults(self, rows: Sequence[int], reasons: Sequence[str], messages: Sequence[str]) -> OutcomeTable:
        """The same with a fault at each of `rows`; those found by comparing clips before are taken back.

        Args:
            rows: ascending.
            reasons: kind of the fault of each.
            messages: its sentence.
        """
        codes = self.reason_codes.copy()
        is_old = np.isin(codes, [code for code, name in enumerate(self.reason_names) if name in DERIVED])
        codes[is_old] = 0
        names = tuple(dict.fromkeys((*self.reason_names, *reasons)))
        codes[list(rows)] = [names.index(reason) for reason in reasons]
        kept = {row: text for row, text in self.messages.items() if not is_old[row]}
        return replace(
            self, reason_codes=codes, reason_names=names, messages=kept | dict(zip(rows, messages, strict=True))
        )

    def reasons(self, first: int, last: int) -> list[str]:
        """Kinds of the faults of rows `first` .. `last` - 1."""
        return [self.reason_names[code] for code in self.reason_codes[first:last].tolist()]

    def __len__(self) -> int:
        return len(self.reason_codes)

    @typing.overload
    def __getitem__(self, index: int) -> Outcome: ...

    @typing.overload
    def __getitem__(self, index: slice) -> list[Outcome]: ...

    def __getitem__(self, index: int | slice) -> Outcome | list[Outcome]:
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        row = range(len(self))[index]
        return Outcome(
            self.reason_names[self.reason_codes[row]],
            self.messages.get(row, ""),
            int(self.num_bytes[row]),
            int(self.modified_ns[row]),
            float(self.duration_s[row]),
            float(self.clipped_share[row]),
            self._content(row),
        )

    def __iter__(self) -> Iterator[Outcome]:
        return (self[row] for row in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OutcomeTable):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _content(self, row: int) -> bytes:
        """NumPy drops zero bytes at the end of a string of bytes."""
        content = bytes(self.content[row])
        return content.ljust(CONTENT_BYTES, b"\0") if content else b""


class OutcomeBuilder:
    """Collects outcomes, compactly, as they come."""

    def __init__(self) -> None:
        self._code_of = {USABLE: 0}
        self._codes = array("h")
        self._messages: dict[int, str] = {}
        self._times = array("q")
        self._measures = array("d")
        self._content = bytearray()

    def __len__(self) -> int:
        return len(self._codes)

    def extend(self, outcomes: Iterable[Outcome]) -> None:
        """Add outcomes at the end."""
        for reason, message, num_bytes, modified_ns, duration_s, clipped_share, content in outcomes:
            if message:
                self._messages[len(self._codes)] = message
            self._codes.append(self._code_of.setdefault(reason, len(self._code_of)))
            self._times.extend((num_bytes, modified_ns))
            self._measures.extend((duration_s, clipped_share))
            self._content += content.ljust(CONTENT_BYTES, b"\0")

    def table(self) -> OutcomeTable:
        """All of them."""
        times = np.array(self._times, dtype=np.int64).reshape(-1, 2)
        measures = np.array(self._measures, dtype=np.float64).reshape(-1, 2)
        return OutcomeTable(
            reason_codes=np.array(self._codes, dtype=np.int16),
            reason_names=tuple(self._code_of),
            messages=dict(self._messages),
            num_bytes=times[:, 0].copy(),
            modified_ns=times[:, 1].copy(),
            duration_s=measures[:, 0].copy(),
            clipped_share=measures[:, 1].copy(),
            content=np.frombuffer(bytes(self._content), dtype=f"S{CONTENT_BYTES}"),
        )
