"""What can be wrong with a clip: the kinds of problems, and one problem of one clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Duplicates = Literal["keep", "drop"]

DUPLICATE = "duplicate"
LEAKED = "leaked"
CLIPPED = "clipped"
WRONG_LENGTH = "wrong_length"


@dataclass(frozen=True)
class ProblemKind:
    """One thing that can be wrong with a clip."""

    name: str
    is_fault: bool
    """A clip with a fault is excluded from training and scores; a warning is reported, and the clip is used."""
    meaning: str
    remedy: str


PROBLEM_KINDS: tuple[ProblemKind, ...] = (
    ProblemKind("missing", True, "the file does not exist", "fetch it, or remove the row"),
    ProblemKind("empty", True, "the file has no bytes, or no audio frame", "fetch it again"),
    ProblemKind(
        "unreadable", True, "it cannot be decoded: damaged, truncated, another kind of file", "fetch or convert it"
    ),
    ProblemKind("blank", True, "a packed row has no name, no label or only zeros", "pack the file again without it"),
    ProblemKind("not_finite", True, "a sample is NaN or infinite", "write the file again"),
    ProblemKind("too_short", True, "it has less than 0.1 s of sound", "fix the times, or remove the row"),
    ProblemKind("silent", True, "the samples swing by less than 2e-5", "fetch it again"),
    ProblemKind("out_of_range", True, "start_s is after the file's end", "fix the times"),
    ProblemKind(
        "changed", True, "the file is not the one whose SHA-256 is listed", "fetch it again, or clear the cell"
    ),
    ProblemKind(LEAKED, True, "the same sound is in a split held out from this one", "remove this row"),
    ProblemKind(DUPLICATE, False, "the same sound occurs earlier in this split", "remove this row, or keep it"),
    ProblemKind(CLIPPED, False, "a share of the samples is at full scale", "find a better source, or keep it"),
    ProblemKind(
        WRONG_LENGTH, False, "it is shorter or longer than its times or the clip length", "fix the times, or keep it"
    ),
)
"""All kinds, in the order in which a report lists them. A `duplicate` is a fault if duplicates are dropped."""

DERIVED = frozenset({LEAKED, DUPLICATE})
"""Kinds found by comparing clips, not in one clip: a report that is read again is compared again."""


@dataclass(frozen=True, slots=True)
class ClipProblem:
    """A problem of one clip."""

    id: str
    path: Path
    split: str
    reason: str
    """The name of one of `PROBLEM_KINDS`."""
    message: str
    """One sentence that names the file and the remedy."""


@dataclass(frozen=True, slots=True, order=True)
class ClipWarning:
    """A warning about a usable clip of a report, or a fault found by comparing clips."""

    index: int
    """Place of the clip in the report."""
    reason: str
    message: str
