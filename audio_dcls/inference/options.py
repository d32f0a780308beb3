"""What is asked of a tagger, beside the sounds.

Axis legend: C classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audio_dcls.errors import ArgumentError
from audio_dcls.inference.class_filter import choose_classes
from audio_dcls.inference.windows import Pooling, Short
from audio_dcls.labels import LabelSet

TIMELINE_WINDOW_S = 2.0
TIMELINE_HOP_S = 1.0
"""Where a timeline is asked for and no window named: half of each window overlaps, so times are within a hop."""
TIMELINE_ON = 0.5
"""Score that begins an event where no threshold is named."""
FITTED = "fitted"
LEAST_S = 0.01
"""Shortest window and hop: every window costs as much as a whole clip."""
Threshold = float | str | np.ndarray | None


@dataclass(frozen=True)
class Timeline:
    """How events are found in the scores of windows (`find_events`)."""

    off: float | None = None
    """Score below which an event ends; three quarters of the threshold that begins it by default."""
    min_gap_s: float = 0.0
    """Events of a class that are closer become one, 0 or more."""
    min_duration_s: float = 0.0
    """Shorter events are left out, 0 or more."""


@dataclass(frozen=True, eq=False)
class TagOptions:
    """Options of `Tagger.tag`."""

    top_k: int | None = 10
    """Number of tags at most, best first; None for all."""
    threshold: Threshold = None
    """Tags (and events) need this probability: one for all, 0 to 1; (C,) one a class; "fitted", those stored beside the
    weights; None for no threshold, and 0.5 for events."""
    window_s: float | None = None
    """Length of a window, at least 0.01 s, at most the model's clip; the clip by default. By default events have
    windows of 2 s of their own; named, it is that of both."""
    hop_s: float | None = None
    """Time between starts of windows; the window by default, half of it for events."""
    pooling: Pooling = "mean"
    """How a sound's scores come from its windows'."""
    short: Short = "pad"
    """What follows a sound, or a window, that is shorter than the model's clip."""
    classes: Sequence[str] | None = None
    """Only these: names, ids, or parents in AudioSet's ontology (`choose_classes`)."""
    timeline: bool | Timeline = False
    """Whether events are looked for."""
    embeddings: bool = False
    """Whether the result holds embeddings."""


class Plan:
    """Options checked against a model, in samples and class indices.

    Args:
        options: as asked.
        labels: the model's classes.
        sample_rate_hz: of the model.
        clip_samples: length it was trained on.
        fitted: (C,) thresholds stored beside the weights; None where there are none.

    Raises:
        ArgumentError: an option breaks its rule.
    """

    def __init__(
        self,
        options: TagOptions,
        labels: LabelSet,
        *,
        sample_rate_hz: int,
        clip_samples: int,
        fitted: np.ndarray | None,
    ) -> None:
        if options.top_k is not None and options.top_k < 1:
            raise ArgumentError(f"`top_k` (={options.top_k}) must be at least 1")
        self.options = options
        self.labels = labels
        self.sample_rate_hz = sample_rate_hz
        self.clip_samples = clip_samples
        clip_s = clip_samples / sample_rate_hz
        has_timeline = options.timeline is not False
        window_s = options.window_s
        if window_s is None:
            window_s = min(TIMELINE_WINDOW_S, clip_s) if has_timeline else clip_s
        self.window_samples = _samples("window_s", window_s, sample_rate_hz, clip_samples, "the model's clip")
        hop_s = options.hop_s
        if hop_s is None:
            hop_s = window_s * TIMELINE_HOP_S / TIMELINE_WINDOW_S if has_timeline else window_s
        self.hop_samples = _samples("hop_s", hop_s, sample_rate_hz, self.window_samples, "the window")
        self.timeline: Timeline | None = None
        if has_timeline:
            self.timeline = options.timeline if isinstance(options.timeline, Timeline) else Timeline()
        self.chosen = None if options.classes is None else choose_classes(labels, options.classes)
        self.thresholds = _thresholds(options.threshold, len(labels), fitted)
        self.of_clips: Plan | None = None
        """Of the tags, where events have short windows that nobody named: tags keep those the model was trained on."""
        if has_timeline and options.window_s is None:
            self.of_clips = Plan(
                dataclasses.replace(options, timeline=False, hop_s=None),
                labels,
                sample_rate_hz=sample_rate_hz,
                clip_samples=clip_samples,
                fitted=fitted,
            )

    @property
    def event_thresholds(self) -> np.ndarray:
        """(C,) scores that begin events; infinite for classes that were not chosen."""
        on = np.full(len(self.labels), TIMELINE_ON) if self.thresholds is None else self.thresholds.copy()
        on[on <= 0] = np.nextafter(0, 1)
        if self.chosen is not None:
            wanted = np.zeros(len(on), dtype=bool)
            wanted[self.chosen] = True
            on[~wanted] = np.inf
        return on


def _samples(name: str, seconds: float, sample_rate_hz: int, limit: int, limit_name: str) -> int:
    num = round(seconds * sample_rate_hz) if math.isfinite(seconds) else 0
    if not max(1, round(LEAST_S * sample_rate_hz)) <= num <= limit:
        raise ArgumentError(
            f"`{name}` (={seconds:g}) must be at least {LEAST_S:g} s and at most {limit / sample_rate_hz:g} s, "
            f"{limit_name}"
        )
    return num


def _thresholds(threshold: Threshold, num_classes: int, fitted: np.ndarray | None) -> np.ndarray | None:
    """(C,) or None."""
    if threshold is None:
        return None
    if isinstance(threshold, str):
        if threshold != FITTED:
            raise ArgumentError(f"`threshold` (={threshold!r}) must be a number from 0 to 1, or '{FITTED}'")
        if fitted is None:
            raise ArgumentError(
                f"`threshold` (='{FITTED}') needs thresholds stored beside the weights, and there are none; fit them "
                "by `audio-dcls eval RUN --fit-thresholds SPLIT`"
            )
        return np.asarray(fitted, dtype=np.float64)
    values = np.asarray(threshold, dtype=np.float64)
    if (
        values.shape not in ((), (num_classes,))
        or not (values >= 0).all()
        or (np.isfinite(values) & (values > 1)).any()
    ):
        shown = f"{threshold}" if values.ndim == 0 else f"shape {values.shape}"
        raise ArgumentError(
            f"`threshold` (={shown}) must lie between 0 and 1: one number, or one for each of {num_classes} classes"
        )
    return np.broadcast_to(values, num_classes).copy()
