"""Which clips of a manifest can be used, and why the others cannot.

Every clip is decoded as training would decode it, by threads: libsndfile, soxr and the numpy work between them release
Python's lock, and threads need no start-up. A file that has not changed since a previous report is not decoded again.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audio_dcls.data.clip_table import Clip, ClipTable
from audio_dcls.data.csv_file import read_csv, write_csv
from audio_dcls.data.decode import read_clip
from audio_dcls.data.parallel import map_in_batches
from audio_dcls.errors import ArgumentError, AudioFileError, ManifestError

USABLE = ""
NO_FILE = -1
COLUMNS = ("id", "path", "start_s", "end_s", "split", "sha256", "reason", "message", "num_bytes", "modified_ns")


@dataclass(frozen=True, slots=True)
class ClipProblem:
    """A clip that cannot be used."""

    id: str
    path: Path
    split: str
    reason: str
    """`missing`, `empty`, `unreadable`, `out_of_range`, `not_finite`, `too_short`, `silent` or `changed`."""
    message: str
    """One sentence that names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a split can be used."""

    num_listed: int
    num_usable: int

    @property
    def fraction(self) -> float:
        """Usable clips over listed ones, 0 to 1."""
        return self.num_usable / self.num_listed


class Outcome(NamedTuple):
    """What was found out about a clip, and the state its file was in."""

    reason: str
    """Empty for a clip that can be used."""
    message: str
    num_bytes: int
    """Size of the file, -1 if there is none."""
    modified_ns: int
    """Time of the file's last change, -1 if there is none."""


@dataclass(frozen=True)
class ClipReport:
    """The outcome of a check, clip by clip, in the order they were given."""

    clips: Sequence[Clip]
    outcomes: Sequence[Outcome]

    @functools.cached_property
    def usable(self) -> Sequence[Clip]:
        """Clips that can be used."""
        mask = [outcome.reason == USABLE for outcome in self.outcomes]
        if isinstance(self.clips, ClipTable):
            return self.clips.take(np.array(mask, dtype=bool))
        return list(itertools.compress(self.clips, mask))

    @functools.cached_property
    def problems(self) -> list[ClipProblem]:
        """Clips that cannot be used, each with its reason."""
        return [
            ClipProblem(clip.id, clip.path, clip.split, outcome.reason, outcome.message)
            for clip, outcome in zip(self.clips, self.outcomes, strict=True)
            if outcome.reason != USABLE
        ]

    def coverage(self) -> dict[str, Coverage]:
        """How much of each split can be used, in order of first appearance."""
        listed, usable = _count_splits(self.clips), _count_splits(self.usable)
        return {split: Coverage(count, usable.get(split, 0)) for split, count in listed.items()}

    def to_csv(self, path: str | Path) -> None:
        """Write one row a clip, usable or not.

        Raises:
            ManifestError: the file cannot be written.
        """
        rows = [
            (clip.id, _key(clip)[0], clip.start_s, clip.end_s, clip.split, clip.sha256, *outcome)
            for clip, outcome in zip(self.clips, self.outcomes, strict=True)
        ]
        columns = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
        write_csv(Path(path), dict(zip(COLUMNS, columns, strict=True)))

    @classmethod
    def from_csv(cls, path: str | Path) -> ClipReport:
        """Read what `to_csv` wrote. A report holds no labels: its clips have none.

        Raises:
            ManifestError: the file is missing, or is not a report.
        """
        path = Path(path)
        clips: list[Clip] = []
        outcomes: list[Outcome] = []
        for numbers, columns in read_csv(path):
            for number, row in zip(numbers.tolist(), zip(*columns, strict=True), strict=True):
                if number == 1 and row == COLUMNS:
                    continue
                clip, outcome = _parse_row(path, number, row)
                clips.append(clip)
                outcomes.append(outcome)
        return cls(clips, outcomes)


def _parse_row(path: Path, number: int, row: tuple[str, ...]) -> tuple[Clip, Outcome]:
    try:
        id_, file, start, end, split, sha256, reason, message, num_bytes, modified_ns = row
        start_s, end_s = (float(cell) if cell else None for cell in (start, end))
        outcome = Outcome(sys.intern(reason), message, int(num_bytes), int(modified_ns))
    except ValueError as error:
        raise ManifestError(
            f"'{path}', row {number}, is not a row of a clip report; delete the file, or name another"
        ) from error
    return Clip(id_, Path(file), start_s, end_s, (), split, sha256 or None), outcome


def check_clips(
    clips: Sequence[Clip],
    *,
    sample_rate_hz: int = 32_000,
    num_workers: int = 0,
    previous: ClipReport | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ClipReport:
    """Decode every clip and report which can be used.

    Args:
        clips: clips to check.
        sample_rate_hz: rate they will be used at.
        num_workers: threads that decode; 0 decodes in this one. The result does not depend on it.
        previous: an older report; where a clip's file has the size and time of change it had then, its outcome is kept.
        on_progress: called with the number of clips done since the last call.

    Raises:
        ArgumentError: `num_workers` is negative.
    """
    if num_workers < 0:
        raise ArgumentError(f"`num_workers` (={num_workers}) must be at least 0; 0 decodes in the calling thread")
    known = {} if previous is None else _outcomes_by_clip(previous)
    examine = functools.partial(_examine, sample_rate_hz=sample_rate_hz, known=known)
    outcomes: list[Outcome] = []
    for batch in map_in_batches(examine, clips, num_workers):
        outcomes.extend(batch)
        if on_progress is not None:
            on_progress(len(batch))
    return ClipReport(clips, outcomes)


_Key = tuple[str, float | None, float | None, str | None]


def _key(clip: Clip) -> _Key:
    """What makes two clips the same sound."""
    return os.path.abspath(clip.path), clip.start_s, clip.end_s, clip.sha256


def _outcomes_by_clip(report: ClipReport) -> dict[_Key, Outcome]:
    return {_key(clip): outcome for clip, outcome in zip(report.clips, report.outcomes, strict=True)}


def _examine(clip: Clip, *, sample_rate_hz: int, known: dict[_Key, Outcome]) -> Outcome:
    try:
        status = clip.path.stat()
        num_bytes, modified_ns = status.st_size, status.st_mtime_ns
    except (OSError, ValueError):  # `read_clip` says what is wrong
        num_bytes, modified_ns = NO_FILE, NO_FILE
    before = known.get(_key(clip)) if known else None
    if before is not None and num_bytes != NO_FILE and before[2:] == (num_bytes, modified_ns):
        return before
    try:
        if clip.sha256 is not None:
            _check_content(clip.path, clip.sha256)
        read_clip(clip.path, sample_rate_hz=sample_rate_hz, start_s=clip.start_s, end_s=clip.end_s)
    except AudioFileError as error:
        return Outcome(error.reason, str(error), num_bytes, modified_ns)
    return Outcome(USABLE, "", num_bytes, modified_ns)


def _check_content(path: Path, sha256: str) -> None:
    """Refuse a file that is not the one listed; one that is not there is left to `read_clip`."""
    if not path.is_file():
        return
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise AudioFileError(f"'{path}' cannot be read ({error.strerror}); mend it", reason="unreadable") from error
    if found != sha256:
        raise AudioFileError(
            f"'{path}' has the SHA-256 {found[:12]}..., listed is {sha256[:12]}...; "
            "fetch the file again, or clear the cell to accept it",
            reason="changed",
        )


def _count_splits(clips: Sequence[Clip]) -> dict[str, int]:
    if isinstance(clips, ClipTable):
        return clips.split_sizes()
    return dict(Counter(clip.split for clip in clips))
