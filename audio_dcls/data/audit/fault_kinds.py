"""What can be wrong with a clip, by name, and whether it may be trained on all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Duplicates = Literal["keep", "drop"]

DUPLICATE = "duplicate"
LEAKED = "leaked"
CLIPPED = "clipped"
WRONG_LENGTH = "wrong_length"


@dataclass(frozen=True)
class ClipKind:
    """One thing that can be wrong."""

    name: str
    is_fault: bool
    """Whether the clip is left out of training and scores; a warning is reported, and the clip used."""
    meaning: str
    remedy: str


KINDS: tuple[ClipKind, ...] = (
    ClipKind("missing", True, "there is no file", "fetch it, or take the row out"),
    ClipKind("empty", True, "the file has no bytes, or no audio frame", "fetch it again"),
    ClipKind("unreadable", True, "it cannot be decoded: damaged, cut off, another kind of file", "fetch or convert it"),
    ClipKind("blank", True, "a packed row has no name, no label or only zeros", "pack the file again without it"),
    ClipKind("not_finite", True, "a sample is NaN or infinite", "write the file again"),
    ClipKind("too_short", True, "under 0.1 s of sound", "mend the times, or take the row out"),
    ClipKind("silent", True, "the samples swing by less than 2e-5", "fetch it again"),
    ClipKind("out_of_range", True, "start_s lies behind the file's end", "mend the times"),
    ClipKind("changed", True, "the file is not the one whose SHA-256 is listed", "fetch it again, or clear the cell"),
    ClipKind(LEAKED, True, "the same sound is in a split held out from this one", "take this row out"),
    ClipKind(DUPLICATE, False, "the same sound comes before in this split", "take this row out, or leave it"),
    ClipKind(CLIPPED, False, "a share of the samples is at full scale", "find a better source, or leave it"),
    ClipKind(WRONG_LENGTH, False, "shorter or longer than its times or the clip length", "mend the times, or leave it"),
)
"""In the order a report lists them; a `duplicate` becomes a fault where duplicates are dropped."""

DERIVED = frozenset({LEAKED, DUPLICATE})
"""Found by comparing clips, not in a clip itself: a report that is read again finds them anew."""
