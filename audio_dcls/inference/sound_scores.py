"""Collect the scores of a sound's windows, and compute its result.

Axes: W windows, C classes, D features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from audio_dcls.inference.events import Event, find_events
from audio_dcls.inference.plan import Plan
from audio_dcls.inference.results import Tag, TagResult, WindowScores
from audio_dcls.inference.windows import pool_scores


class SoundScores:
    """Scores of one sound's windows, under a plan."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.name, self.plan = name, plan
        self._starts: list[int] = []
        self._scores: list[np.ndarray] = []
        self._embeddings: list[np.ndarray] = []

    def add(self, start: int, scores: np.ndarray, embedding: np.ndarray | None) -> None:
        """Add the scores (C,) of the window that starts at a sample, and its embedding (D,) if it is wanted."""
        self._starts.append(start)
        self._scores.append(scores)
        if embedding is not None:
            self._embeddings.append(embedding)

    def result(self, num_samples: int) -> TagResult:
        """Compute the result after all windows were added; `num_samples` is the length of the sound."""
        plan = self.plan
        windows = self._windows(num_samples)
        scores = pool_scores(windows.scores, plan.options.pooling)
        vectors = np.stack(self._embeddings) if self._embeddings else None
        return TagResult(
            path=self.name,
            duration_s=num_samples / plan.sample_rate_hz,
            num_windows=len(self._starts),
            tags=self._tags(scores),
            windows=windows,
            events=self._events(windows),
            embedding=None if vectors is None else vectors.mean(axis=0, dtype=np.float64).astype(np.float32),
            window_embeddings=vectors,
        )

    def _windows(self, num_samples: int) -> WindowScores:
        starts = np.array(self._starts)
        ends = np.minimum(starts + self.plan.window_samples, num_samples)
        rate_hz = self.plan.sample_rate_hz
        return WindowScores(starts / rate_hz, ends / rate_hz, np.stack(self._scores))

    def _tags(self, scores: np.ndarray) -> tuple[Tag, ...]:
        plan, labels = self.plan, self.plan.labels
        order = np.argsort(-scores, kind="stable")
        if plan.chosen is not None:
            order = order[np.isin(order, plan.chosen)]
        if plan.thresholds is not None:
            order = order[scores[order] >= plan.thresholds[order]]
        return tuple(Tag(labels.ids[c], labels.names[c], float(scores[c])) for c in order[: plan.options.top_k])

    def _events(self, windows: WindowScores) -> tuple[Event, ...] | None:
        timeline = self.plan.timeline
        if timeline is None:
            return None
        on = self.plan.event_thresholds
        return find_events(
            windows.scores,
            windows.start_s,
            windows.end_s,
            labels=self.plan.labels,
            on=on,
            off=None if timeline.off is None else np.minimum(timeline.off, on),
            min_gap_s=timeline.min_gap_s,
            min_duration_s=timeline.min_duration_s,
        )


def merge_results(results: Sequence[TagResult]) -> TagResult:
    """Merge the results of a plan and of its `of_clips`: the tags of the last one, all else of the first."""
    return dataclasses.replace(results[0], tags=results[-1].tags)
