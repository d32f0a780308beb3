"""Splitting a sound of any length into windows, and putting their scores together.

Axis legend: W windows, C classes.
"""

from __future__ import annotations

import numpy as np

from audio_dcls.errors import ArgumentError


def window_starts(num_samples: int, window_samples: int, hop_samples: int) -> list[int]:
    """Start of every window over a sound.

    A sound no longer than one window has one window, to be padded. A longer one is covered to its last sample: where
    the hops do not end there, one more window ends exactly at the end, so that no window holds padding.

    Args:
        num_samples: length of the sound, at least 1.
        window_samples: length of a window.
        hop_samples: distance between starts.

    Returns:
        Starts in samples, ascending.

    Raises:
        ArgumentError: a length is below 1, or the hop leaves gaps.

    >>> window_starts(25, 10, 10)
    [0, 10, 15]
    >>> window_starts(7, 10, 10)
    [0]
    """
    for name, value in (("num_samples", num_samples), ("window_samples", window_samples), ("hop_samples", hop_samples)):
        if value < 1:
            raise ArgumentError(f"`{name}` (={value}) must be at least 1")
    if hop_samples > window_samples:
        raise ArgumentError(
            f"`hop_samples` (={hop_samples}) must not exceed `window_samples` (={window_samples}): sound would be lost"
        )
    if num_samples <= window_samples:
        return [0]
    last = num_samples - window_samples
    starts = list(range(0, last + 1, hop_samples))
    return starts if starts[-1] == last else [*starts, last]


def mean_scores(scores: np.ndarray) -> np.ndarray:
    """Average window scores (W, C) into clip scores (C,)."""
    return scores.mean(axis=0)
