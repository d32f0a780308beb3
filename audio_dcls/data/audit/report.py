"""The result of a check, clip by clip.

N clips.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from audio_dcls.data.audit.outcomes import OutcomeTable
from audio_dcls.data.audit.problems import ClipProblem, ClipWarning
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable


@dataclass(frozen=True, slots=True)
class Coverage:
    """The usable part of a split or a class."""

    num_listed: int
    num_usable: int

    @property
    def fraction(self) -> float:
        """Usable clips over listed ones, 0 to 1."""
        return self.num_usable / self.num_listed


@dataclass(frozen=True)
class ClipReport:
    """The outcomes of clips, in the order in which the clips were given."""

    table: ClipTable
    outcomes: OutcomeTable
    clip_warnings: tuple[ClipWarning, ...] = ()
    """In the order of the clips; a clip may have several."""

    @classmethod
    def concatenate(cls, reports: Sequence[ClipReport]) -> ClipReport:
        """Put reports one after the other; at least one."""
        warnings: list[ClipWarning] = []
        num_rows = 0
        for report in reports:
            warnings += [replace(warning, index=num_rows + warning.index) for warning in report.clip_warnings]
            num_rows += len(report.table)
        table = ClipTable.concatenate([report.table for report in reports])
        return cls(table, OutcomeTable.concatenate([report.outcomes for report in reports]), tuple(warnings))

    @property
    def clips(self) -> Sequence[Clip]:
        """The clips that were checked."""
        return self.table

    @functools.cached_property
    def usable(self) -> ClipTable:
        """The usable clips."""
        return self.table.take(self.outcomes.is_usable)

    @functools.cached_property
    def problems(self) -> list[ClipProblem]:
        """The fault of every clip that cannot be used."""
        rows = np.flatnonzero(~self.outcomes.is_usable)
        clips = self.table.take(rows)
        return [
            ClipProblem(clip.id, clip.path, clip.split, outcome.reason, outcome.message)
            for clip, outcome in zip(clips, map(self.outcomes.__getitem__, rows.tolist()), strict=True)
        ]

    @functools.cached_property
    def warnings(self) -> list[ClipProblem]:
        """The warnings about usable clips; a clip may have several."""
        clips = self.table.take(np.array([warning.index for warning in self.clip_warnings], dtype=np.int64))
        return [
            ClipProblem(clip.id, clip.path, clip.split, warning.reason, warning.message)
            for clip, warning in zip(clips, self.clip_warnings, strict=True)
        ]

    def coverage(self) -> dict[str, Coverage]:
        """The usable part of each split, in order of first appearance."""
        usable = self.usable.split_sizes()
        return {split: Coverage(count, usable.get(split, 0)) for split, count in self.table.split_sizes().items()}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClipReport):
            return NotImplemented
        mine, others = ((list(report.table), list(report.outcomes), report.clip_warnings) for report in (self, other))
        return mine == others

    __hash__ = None  # type: ignore[assignment]


def absolute_paths(table: ClipTable) -> list[str]:
    """The absolute paths of N clips."""
    return [os.path.abspath(path) for path in table.full_paths()]
