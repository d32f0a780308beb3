"""The results of tagging.

Axes: W windows, C classes, D features.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from audio_dcls.data.table.pandas_table import records_frame
from audio_dcls.inference.events import Event

if TYPE_CHECKING:
    from audio_dcls.data.table.pandas_table import DataFrame


@dataclass(frozen=True)
class Tag:
    """A class with its probability."""

    id: str
    """AudioSet MID, or the id of the label file the model was trained with."""
    name: str
    score: float
    """Probability, 0 to 1."""


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Scores along a sound."""

    start_s: np.ndarray
    """(W,) starts of the windows, in seconds."""
    end_s: np.ndarray
    """(W,) ends of the windows, at most the sound's end."""
    scores: np.ndarray
    """(W, C) float32 probabilities, all classes in the order of the labels."""


@dataclass(frozen=True, eq=False)
class TagResult:
    """Tags of one sound, best first."""

    path: str
    """Path of the file, or name of the sound."""
    duration_s: float
    num_windows: int
    """Length of `windows`."""
    tags: tuple[Tag, ...]
    windows: WindowScores
    """With a timeline, the windows that events were found in."""
    events: tuple[Event, ...] | None = None
    """Sorted by onset; None without a timeline."""
    embedding: np.ndarray | None = field(default=None, repr=False)
    """(D,) float32, the mean of `window_embeddings`; None without the option `embeddings`."""
    window_embeddings: np.ndarray | None = field(default=None, repr=False)
    """(W, D) float32, the input of the classifier; None without the option `embeddings`."""

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON: tags, and events if there is a timeline."""
        document: dict[str, Any] = {
            "path": self.path,
            "duration_s": round(self.duration_s, 3),
            "num_windows": self.num_windows,
            "tags": [{"id": t.id, "name": t.name, "score": round(t.score, 6)} for t in self.tags],
        }
        if self.events is not None:
            document["events"] = [event.to_json_dict() for event in self.events]
        return document

    def to_dataframe(self) -> DataFrame:
        """Return one row per tag: path, id, name, score; `events_dataframe` has the events."""
        rows = [{"path": self.path, "id": tag.id, "name": tag.name, "score": tag.score} for tag in self.tags]
        return records_frame(rows, ["path", "id", "name", "score"])

    def events_dataframe(self) -> DataFrame:
        """Return one row per event: path, id, name, onset_s, offset_s, score."""
        rows = [{"path": self.path, **event.to_json_dict()} for event in self.events or ()]
        return records_frame(rows, ["path", "id", "name", "onset_s", "offset_s", "score"])


@dataclass(frozen=True)
class TagFailure:
    """A sound that could not be tagged."""

    path: str
    reason: str
    """Short and stable, as in `AudioFileError`: missing, empty, unreadable or not_finite."""
    message: str
    """A sentence for people, with the remedy."""

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"path": self.path, "reason": self.reason, "error": self.message}
