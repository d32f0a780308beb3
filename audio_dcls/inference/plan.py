"""The options of tagging, checked against a model.

Axes: C classes.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydantic

from audio_dcls.errors import ArgumentError
from audio_dcls.inference.class_filter import choose_classes
from audio_dcls.labels import LabelSet
from audio_dcls.near_names import did_you_mean
from audio_dcls.tag_options import FITTED, LEAST_S, TagOptions, Timeline

TIMELINE_WINDOW_S = 2.0
TIMELINE_HOP_S = 1.0
"""Window and hop of a timeline by default: half of each window overlaps, so times are within a hop."""
TIMELINE_ON = 0.5
"""Score that begins an event by default."""


def check_options(values: Mapping[str, Any]) -> TagOptions:
    """Options from keywords; an `ArgumentError` says which one is unknown or breaks its rule.

    >>> check_options({"top_k": 3}).top_k
    3
    """
    known = list(TagOptions.__dataclass_fields__)
    for name in values:
        if name not in known:
            remedy = did_you_mean(name, known, f"the options are {', '.join(known)}")
            raise ArgumentError(f"`{name}` is not an option of tagging; {remedy}")
    try:
        return _validator().validate_python(values)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0])
        raise ArgumentError(f"`{name}` (={values[name]!r}) must be {_rule(name, problem)}") from error


@functools.cache
def _validator() -> pydantic.TypeAdapter[TagOptions]:
    return pydantic.TypeAdapter(TagOptions)


def _rule(name: str, problem: Any) -> str:
    """Return the end of a message, after "must be"."""
    if name == "threshold":
        return f"a number from 0 to 1, or '{FITTED}'"
    context = problem.get("ctx", {})
    if "ge" in context:
        return f"at least {context['ge']:g}" + (" s" if name.endswith("_s") else "")
    if problem["type"] == "literal_error":
        return f"one of {', '.join(context['expected'].replace(' or ', ', ').replace(chr(39), '').split(', '))}"
    if problem["type"] == "sequence_str":
        return "a list of names"
    return f"valid: {problem['msg'][0].lower()}{problem['msg'][1:]}"


class Plan:
    """Options checked against a model, in samples and class indices; an `ArgumentError` says which rule is broken.

    `clip_samples` is the length it was trained on; `fitted` are the thresholds (C,) stored with the weights, or None.
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
        """The plan of the tags, if events have short windows by default: tags keep windows as long as the clips."""
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


def _thresholds(threshold: Any, num_classes: int, fitted: np.ndarray | None) -> np.ndarray | None:
    """The thresholds (C,), or None."""
    if threshold is None:
        return None
    if isinstance(threshold, str):
        if fitted is None:
            raise ArgumentError(
                f"`threshold` (='{FITTED}') needs thresholds stored with the weights, and there are none; fit them "
                "with `audio-dcls eval RUN --fit-thresholds SPLIT`"
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
            f"`threshold` (={shown}) must be between 0 and 1: one number, or one for each of {num_classes} classes"
        )
    return np.broadcast_to(values, num_classes).copy()
