"""Outcomes of earlier checks, looked up by what determines a clip's sound: its file, times, row and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from audio_dcls.data.audit.outcomes import NO_FILE, USABLE, Outcome
from audio_dcls.data.audit.problems import DERIVED
from audio_dcls.data.audit.report import ClipReport, absolute_paths
from audio_dcls.data.table.clip_table import ClipTable

_KEY_BYTES = 8
"""Two of two million clips have the same key with a probability of 1e-7, and then differ in size or time of change."""


def sound_keys(table: ClipTable) -> np.ndarray:
    """Keys that tell the clips' sounds apart without reading them.

    Shape: (N,) uint64.
    """
    rows = [-1] * len(table) if table.rows is None else table.rows.tolist()
    columns = zip(
        absolute_paths(table), table.start_s.tolist(), table.end_s.tolist(), table.sha256.to_list(), rows, strict=True
    )
    keys = b"".join(
        hashlib.blake2b(repr(values).encode(), digest_size=_KEY_BYTES, usedforsecurity=False).digest()
        for values in columns
    )
    return np.frombuffer(keys, dtype=np.uint64)


class KnownOutcomes:
    """Outcomes in earlier reports; of two outcomes of the same sound, the later one counts.

    Args:
        reports: oldest first.
    """

    def __init__(self, reports: Sequence[ClipReport]) -> None:
        self.reports = tuple(reports)
        keys = [sound_keys(report.table) for report in self.reports]
        joined = np.concatenate([np.zeros(0, dtype=np.uint64), *keys])
        self._ends = np.cumsum([len(part) for part in keys])
        self._keys, last = np.unique(joined[::-1], return_index=True)
        self._places = len(joined) - 1 - last

    def find(self, key: np.uint64, num_bytes: int, modified_ns: int) -> Outcome | None:
        """The earlier outcome of a sound whose file has not changed; None if the sound must be read."""
        if num_bytes == NO_FILE or not len(self._keys):
            return None
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            return None
        row = int(self._places[place])
        number = int(np.searchsorted(self._ends, row, side="right"))
        outcome = self.reports[number].outcomes[row - (int(self._ends[number - 1]) if number else 0)]
        if (outcome.num_bytes, outcome.modified_ns) != (num_bytes, modified_ns):
            return None
        return outcome._replace(reason=USABLE, message="") if outcome.reason in DERIVED else outcome
