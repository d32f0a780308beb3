"""The parts of a report: chapters, and the figures, tables and recordings in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from audio_dcls.inspection.report.subject import Subject


@dataclass(frozen=True, eq=False)
class Recording:
    """A sound that the page can play."""

    caption: str
    mp3: bytes


@dataclass(frozen=True, eq=False)
class ReportItem:
    """A figure with the data it was drawn from. Either may be missing."""

    name: str
    """Name of its files, without the ending."""
    caption: str
    figure: Figure | None
    rows: list[dict[str, Any]]
    recordings: tuple[Recording, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """A chapter of the report."""

    items: Callable[[Subject], Iterator[ReportItem]]
    """Yields the items; raises `NothingToShowError` if the subject has nothing of what the chapter shows."""
    needs_clips: bool = False
    """True if it looks at clips: the user's own or, without them, clips that the run is measured on."""
    needs_scores: bool = False
    """True if it looks at the scores of the clips that the run is measured on."""
