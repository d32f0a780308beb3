"""Clips that a model was measured on: what it was asked, what it said, and how they sound.

Axes: N clips, C classes, T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audio_dcls.labels import LabelSet


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Scores and targets of N clips over C classes."""

    labels: LabelSet
    clip_ids: Sequence[str]
    targets: np.ndarray
    """(N, C), 0 or 1."""
    scores: np.ndarray
    """(N, C), probabilities."""
    source: str
    """For people: what clips these are."""
    sample_rate_hz: int
    waveform: Callable[[int], np.ndarray]
    """Of a clip by its place: (T,) float32 as the model hears it."""
    train_counts: np.ndarray | None = None
    """(C,) clips of each class that the model was trained on, where known."""


@dataclass(frozen=True, eq=False)
class Against:
    """Two sets of runs over the same clips, to be compared class by class.

    Axes: S and S' seeds.
    """

    labels: LabelSet
    name: str
    other_name: str
    precision: dict[int, np.ndarray]
    """(C,) average precision by seed, NaN where a class has no positive."""
    other_precision: dict[int, np.ndarray]
    num_positives: np.ndarray
    """(C,) in the clips measured on."""
    other_model: Any = None
    """The other's tagger, in evaluation mode, to set its receptive field beside."""
