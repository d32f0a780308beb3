"""Events on a timeline, from the scores of windows.

Axes: W windows, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from audio_dcls.errors import ArgumentError
from audio_dcls.labels import LabelSet

OFF_SHARE = 0.75
"""By default an event ends below this share of the score that begins it."""
CLOCK_S = 1e-6
"""Times closer than this count as equal, as sums of hops are not exact."""


@dataclass(frozen=True)
class Event:
    """A sound event: a class between its onset and its offset."""

    id: str
    """AudioSet MID, or the id of the label file the model was trained with."""
    name: str
    onset_s: float
    """Seconds from the beginning of the sound."""
    offset_s: float
    """Later than `onset_s`."""
    score: float
    """The highest probability of its windows, 0 to 1."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.offset_s - self.onset_s

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON; times to the millisecond."""
        return {
            "id": self.id,
            "name": self.name,
            "onset_s": round(self.onset_s, 3),
            "offset_s": round(self.offset_s, 3),
            "score": round(self.score, 6),
        }


def find_events(
    scores: np.ndarray,
    start_s: np.ndarray,
    end_s: np.ndarray,
    *,
    labels: LabelSet,
    on: float | np.ndarray,
    off: float | np.ndarray | None = None,
    min_gap_s: float = 0.0,
    min_duration_s: float = 0.0,
) -> tuple[Event, ...]:
    """Find the events of every class by two thresholds (a Schmitt trigger).

    An event of a class begins with the first window that scores at least `on` and ends where a window scores below
    `off`; so windows that overlap or touch become one event. Each window covers the time nearer to its centre
    than to any other window's (`window_edges_s`), so that a change between two windows is placed halfway between their
    centres.

    Args:
        scores: (W, C) probabilities, finite.
        start_s: (W,) where the windows begin, in seconds, with centres that ascend.
        end_s: (W,) where they end.
        labels: the C classes.
        on: score that begins an event, above 0; one for all or (C,) one per class. A class of infinity has no events.
        off: score below which it ends, at most `on`; `OFF_SHARE` of `on` by default.
        min_gap_s: events of a class that are closer than this become one, 0 or more.
        min_duration_s: events that are shorter than this, once those are joined, are left out, 0 or more.

    Returns:
        Events by onset; those that begin together by score, highest first.

    Raises:
        ArgumentError: a shape, a time or a threshold breaks its rule.

    >>> labels = LabelSet(ids=("dog", "cat"), names=("Dog", "Cat"))
    >>> scores = np.array([[0.9, 0.1], [0.45, 0.2], [0.1, 0.3], [0.2, 0.8]])
    >>> start_s = np.arange(4.0)
    >>> events = find_events(scores, start_s, start_s + 1, labels=labels, on=0.5)
    >>> [(event.name, event.onset_s, event.offset_s, event.score) for event in events]
    [('Dog', 0.0, 2.0, 0.9), ('Cat', 3.0, 4.0, 0.8)]
    """
    scores = np.asarray(scores, dtype=np.float64)
    _check(scores, len(labels), min_gap_s=min_gap_s, min_duration_s=min_duration_s)
    edges_s = window_edges_s(start_s, end_s)
    if len(edges_s) != len(scores) + 1 and len(scores):
        raise ArgumentError(
            f"`scores` has {len(scores)} windows and `start_s` has {len(edges_s) - 1}; give one score row per window"
        )
    on, off = _thresholds(on, off, len(labels))
    found = np.flatnonzero((scores >= on).any(axis=0))
    active = _held(scores[:, found], on[found], off[found])
    events = []
    for column, c in enumerate(found):
        for first, last in _joined(_runs(active[:, column]), edges_s, min_gap_s):
            onset_s, offset_s = float(edges_s[first]), float(edges_s[last])
            if offset_s - onset_s >= min_duration_s - CLOCK_S:
                peak = float(scores[first:last, c].max())
                events.append(Event(labels.ids[c], labels.names[c], onset_s, offset_s, peak))
    return tuple(sorted(events, key=lambda event: (event.onset_s, -event.score)))


def _check(scores: np.ndarray, num_classes: int, **seconds: float) -> None:
    if scores.ndim != 2 or scores.shape[1] != num_classes or not np.isfinite(scores).all():
        raise ArgumentError(
            f"`scores` (shape {scores.shape}) must be finite, one row per window and one column for each of "
            f"{num_classes} classes; give those of one model with its own labels"
        )
    for name, value in seconds.items():
        if not value >= 0:
            raise ArgumentError(f"`{name}` (={value}) must be 0 or more seconds")


def window_edges_s(start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """Return the borders (W + 1,) of the times that windows cover: halfway between neighbouring centres.

    The first stretch begins with the first window, and the last ends with the last. Where windows follow each other by
    a constant hop, the others are one hop long, around the windows' centres. The result is empty without windows. An
    `ArgumentError` refuses empty windows, and centres that do not ascend.

    >>> window_edges_s(np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.0]))
    array([0. , 1.5, 2.5, 4. ])
    """
    start_s, end_s = np.asarray(start_s, dtype=np.float64), np.asarray(end_s, dtype=np.float64)
    if start_s.ndim != 1 or start_s.shape != end_s.shape or not (start_s < end_s).all():
        raise ArgumentError(
            f"`start_s` (shape {start_s.shape}) and `end_s` (shape {end_s.shape}) must hold one time per window, "
            "each window ending after it begins"
        )
    if len(start_s) == 0:
        return np.zeros(0)
    centre_s = (start_s + end_s) / 2
    if not (np.diff(centre_s) > 0).all():
        raise ArgumentError("`start_s` and `end_s` must be those of different windows in the order of time; sort them")
    return np.concatenate([start_s[:1], (centre_s[:-1] + centre_s[1:]) / 2, end_s[-1:]])


def _thresholds(
    on: float | np.ndarray, off: float | np.ndarray | None, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return both thresholds as (C,)."""
    rows: list[np.ndarray] = []
    for name, value in (("on", on), ("off", OFF_SHARE * np.asarray(on, dtype=np.float64) if off is None else off)):
        value = np.asarray(value, dtype=np.float64)
        if value.shape not in ((), (num_classes,)) or not (value > 0).all():
            raise ArgumentError(
                f"`{name}` (shape {value.shape}, lowest {value.min(initial=np.inf):g}) must be one score above 0, or "
                f"one for each of {num_classes} classes"
            )
        rows.append(np.broadcast_to(value, num_classes))
    begin, end = rows
    if not (end <= begin).all():
        c = int(np.argmax(end > begin))
        raise ArgumentError(
            f"`off` (={end[c]:g}) must be at most `on` (={begin[c]:g}), or every event would end at once"
        )
    return begin, end


def _held(scores: np.ndarray, on: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Mark the windows in which a class is on; between the thresholds it keeps its last state."""
    decided = (scores >= on) | (scores < off)
    row = np.arange(len(scores))[:, None]
    last_decided = np.maximum.accumulate(np.where(decided, row, -1), axis=0)
    state = np.take_along_axis(scores >= on, np.maximum(last_decided, 0), axis=0)
    return state & (last_decided >= 0)


def _runs(active: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the first window of each run that is on, and the first window after it."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]])))
    for first, last in changes.reshape(-1, 2):
        yield int(first), int(last)


def _joined(runs: Iterator[tuple[int, int]], edges_s: np.ndarray, min_gap_s: float) -> list[tuple[int, int]]:
    """Join runs whose gap is shorter than `min_gap_s`."""
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and edges_s[first] - edges_s[joined[-1][1]] < min_gap_s - CLOCK_S:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
