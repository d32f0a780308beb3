"""Splitting a sound of any length into windows, and putting their scores together.

Axes: W windows, T samples, C classes.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator

import numpy as np

from audio_dcls.choices import Pooling, Short
from audio_dcls.errors import ArgumentError


def window_starts(num_samples: int, window_samples: int, hop_samples: int) -> list[int]:
    """Starts of the windows over a sound, in samples, ascending.

    A sound no longer than one window has one window. A longer one is covered to its last sample: where the hops do not
    end there, one more window ends exactly at the end, so that every window is full of sound. An `ArgumentError`
    refuses lengths below 1, and a hop that leaves gaps.

    >>> window_starts(25, 10, 10)
    [0, 10, 15]
    >>> window_starts(7, 10, 10)
    [0]
    """
    _check_lengths(num_samples=num_samples, window_samples=window_samples, hop_samples=hop_samples)
    if num_samples <= window_samples:
        return [0]
    last = num_samples - window_samples
    starts = list(range(0, last + 1, hop_samples))
    return starts if starts[-1] == last else [*starts, last]


class WindowSplitter:
    """Cuts the windows of `window_starts` out of successive blocks.

    >>> splitter = WindowSplitter(4, 3)
    >>> [(start, len(window)) for start, window in splitter.push(np.zeros(9, dtype=np.float32))]
    [(0, 4), (3, 4)]
    >>> [(start, len(window)) for start, window in splitter.finish()]
    [(5, 4)]
    """

    def __init__(self, window_samples: int, hop_samples: int) -> None:
        _check_lengths(window_samples=window_samples, hop_samples=hop_samples)
        self.window_samples, self.hop_samples = window_samples, hop_samples
        self.num_samples = 0
        self._next_start = 0
        self._blocks: list[np.ndarray] = []
        self._kept_from = 0

    def push(self, block: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Take the next samples (T,); yield the windows that they complete, with their starts."""
        self._blocks.append(block)
        self.num_samples += len(block)
        if self.num_samples < self._next_start + self.window_samples:
            return
        kept = np.concatenate(self._blocks)
        while self.num_samples >= self._next_start + self.window_samples:
            first = self._next_start - self._kept_from
            yield self._next_start, kept[first : first + self.window_samples]
            self._next_start += self.hop_samples
        # The last window may have to end at the very end, so as much sound stays.
        keep_from = max(self._kept_from, self.num_samples - self.window_samples)
        self._blocks = [kept[keep_from - self._kept_from :].copy()]
        self._kept_from = keep_from

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the last window, if samples remain after the last full one or the sound is shorter than a window."""
        if not self.num_samples:
            return
        kept = np.concatenate(self._blocks)
        if self.num_samples < self.window_samples:
            yield 0, kept
        elif self._next_start - self.hop_samples + self.window_samples < self.num_samples:
            yield self.num_samples - self.window_samples, kept[-self.window_samples :]


def fill_window(window: np.ndarray, num_samples: int, short: Short) -> np.ndarray:
    """Fill a window (T,) up to `num_samples`: "pad" adds zeros, as in training, and "repeat" repeats the sound.

    >>> fill_window(np.array([1.0, 2.0]), 5, "repeat")
    array([1., 2., 1., 2., 1.])
    """
    if short not in typing.get_args(Short):
        raise ArgumentError(f"`short` (={short!r}) must be one of {', '.join(typing.get_args(Short))}")
    if len(window) == num_samples:
        return window
    if short == "repeat":
        return np.resize(window, num_samples)
    return np.pad(window, (0, num_samples - len(window)))


def pool_scores(scores: np.ndarray, pooling: Pooling) -> np.ndarray:
    """The scores (C,) of a sound, float64, from the probabilities (W, C) of its windows, W at least 1.

    "noisy_or" is the probability that at least one window holds the class if each says so by itself (Pearl, 1988):
    1 - product over windows of (1 - score). It grows with the number of windows.

    >>> pool_scores(np.array([[0.5, 0.0], [0.5, 1.0]]), "noisy_or")
    array([0.75, 1.  ])
    """
    scores = np.asarray(scores, dtype=np.float64)
    if pooling == "mean":
        return scores.mean(axis=0)
    if pooling == "max":
        return scores.max(axis=0)
    if pooling == "noisy_or":
        return 1 - np.prod(1 - scores, axis=0)
    raise ArgumentError(f"`pooling` (={pooling!r}) must be one of {', '.join(typing.get_args(Pooling))}")


def _check_lengths(**lengths: int) -> None:
    for name, value in lengths.items():
        if value < 1:
            raise ArgumentError(f"`{name}` (={value}) must be at least 1")
    if lengths["hop_samples"] > lengths["window_samples"]:
        raise ArgumentError(
            f"`hop_samples` (={lengths['hop_samples']}) must not exceed `window_samples` "
            f"(={lengths['window_samples']}): sound would be lost"
        )
