"""What a report shows: a figure, the data it was drawn from, and sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from audio_dcls.inspection.report.subject import Subject


@dataclass(frozen=True, eq=False)
class Player:
    """A sound to listen to in the page."""

    caption: str
    mp3: bytes


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A figure with its data; one of the two may be missing."""

    name: str
    """Of its files."""
    caption: str
    figure: Figure | None
    rows: list[dict[str, Any]]
    players: tuple[Player, ...] = ()


Chapter = Callable[[Subject], Iterator[Exhibit]]
"""Makes exhibits of a subject; raises `NothingToShowError` where it has nothing of what the chapter shows."""
