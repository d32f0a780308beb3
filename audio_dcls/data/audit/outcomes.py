"""The outcomes of a check as columns: two million rows are 100 MB.

N clips.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from audio_dcls.data.audit.problems import DERIVED, ClipWarning

USABLE = ""
NO_FILE = -1
UNKNOWN = -1.0
CONTENT_BYTES = 16
_ROWS_AT_ONCE = 65_536


class Outcome(NamedTuple):
    """The outcome of one clip, and the state of its file."""

    reason: str
    """Kind of its fault; empty for a usable clip."""
    message: str
    num_bytes: int
    """Size of the file, -1 without a file."""
    modified_ns: int
    """Time of the file's last change, -1 without a file."""
    duration_s: float = UNKNOWN
    """Length of its sound, -1 if it was not decoded."""
    clipped_share: float = UNKNOWN
    """Share of its samples at full scale, 0 to 1; -1 if it was not decoded."""
    content: bytes = b""
    """Digest of its decoded samples, 16 bytes; empty if it was not decoded."""


RECORD = np.dtype(
    [
        ("reason", np.int16),
        ("num_bytes", np.int64),
        ("modified_ns", np.int64),
        ("duration_s", np.float64),
        ("clipped_share", np.float64),
        ("content", f"S{CONTENT_BYTES}"),
    ]
)
"""An outcome without its message, and with the index of its reason: NumPy holds it in 50 bytes, pandas and pyarrow have
no fixed-size bytes column that sorts and compares."""


@dataclass(frozen=True, eq=False)
class OutcomeTable(Sequence[Outcome]):
    """An immutable sequence of outcomes, kept as columns."""

    records: np.ndarray
    """(N,) of `RECORD`; `reason` is an index into `reason_names`."""
    reason_names: tuple[str, ...]
    """The first is that of a usable clip."""
    messages: Mapping[int, str]
    """Messages by row, of the clips that have one."""

    @classmethod
    def from_outcomes(cls, outcomes: Iterable[Outcome]) -> OutcomeTable:
        """Turn outcomes into columns; only some thousand of them are in memory as objects."""
        codes, messages, parts, num_rows = {USABLE: 0}, {}, [np.zeros(0, dtype=RECORD)], 0
        remaining = iter(outcomes)
        while rows := list(itertools.islice(remaining, _ROWS_AT_ONCE)):
            messages |= {num_rows + row: outcome.message for row, outcome in enumerate(rows) if outcome.message}
            values = [(codes.setdefault(outcome.reason, len(codes)), *outcome[2:]) for outcome in rows]
            parts.append(np.array(values, dtype=RECORD))
            num_rows += len(rows)
        return cls(np.concatenate(parts), tuple(codes), messages)

    @classmethod
    def concatenate(cls, tables: Sequence[OutcomeTable]) -> OutcomeTable:
        """Put tables one after the other; at least one."""
        names = tuple(dict.fromkeys(name for table in tables for name in table.reason_names))
        records, messages, num_rows = np.concatenate([table.records for table in tables]), {}, 0
        for table in tables:
            codes = np.array([names.index(name) for name in table.reason_names], dtype=np.int16)
            records["reason"][num_rows : num_rows + len(table)] = codes[table.records["reason"]]
            messages |= {num_rows + row: message for row, message in table.messages.items()}
            num_rows += len(table)
        return cls(records, names, messages)

    @property
    def is_usable(self) -> np.ndarray:
        """(N,) bool, True for a clip without a fault."""
        return self.records["reason"] == 0

    @property
    def duration_s(self) -> np.ndarray:
        """(N,) float64, length of the sound; -1 if it was not decoded."""
        return self.records["duration_s"]

    def with_faults(self, faults: Sequence[ClipWarning]) -> OutcomeTable:
        """The table with these faults, in the order of the clips, in place of earlier ones from comparing clips."""
        records = self.records.copy()
        is_old = np.isin(records["reason"], [code for code, name in enumerate(self.reason_names) if name in DERIVED])
        records["reason"][is_old] = 0
        names = tuple(dict.fromkeys((*self.reason_names, *(fault.reason for fault in faults))))
        records["reason"][[fault.index for fault in faults]] = [names.index(fault.reason) for fault in faults]
        messages = {row: message for row, message in self.messages.items() if not is_old[row]}
        messages |= {fault.index: fault.message for fault in faults}
        return replace(self, records=records, reason_names=names, messages=messages)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Outcome:  # pyright: ignore[reportIncompatibleMethodOverride]
        row = range(len(self))[index]
        code, *values, content = self.records[row].item()
        # NumPy drops zero bytes at the end of a string of bytes.
        content = content.ljust(CONTENT_BYTES, b"\0") if content else b""
        return Outcome._make((self.reason_names[code], self.messages.get(row, ""), *values, content))
