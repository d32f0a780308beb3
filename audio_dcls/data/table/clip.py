"""One clip: a sound, or a stretch of one, with its labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Clip:
    """One stretch of one sound file, with its labels."""

    id: str
    """Unique in its manifest."""
    path: Path
    start_s: float | None
    """Start of the clip in the file, in seconds; None is the beginning of the file."""
    end_s: float | None
    """End of the clip in the file; None is the end of the file."""
    labels: tuple[int, ...]
    """Indices into the label set of the manifest."""
    split: str
    """The part of the data that the clip belongs to, such as `train`."""
    sha256: str | None = None
    """SHA-256 of the file, in hexadecimal digits; None if it is not known."""
    row: int | None = None
    """The row of the clip where `path` is a store of many clips; None if the file holds this clip alone."""

    @classmethod
    def whole_file(cls, name: str, path: Path, labels: tuple[int, ...], split: str) -> Clip:
        """A clip that is all of one sound file."""
        return cls(name, path, None, None, labels, split)
