"""Random changes of a waveform of T samples: circular shift, speed, gain."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
import soxr

from audio_dcls.data.augment.ranges import Decibels, Positive, Probability, Range
from audio_dcls.errors import ArgumentError
from audio_dcls.settings import Settings

SpeedMethod = Literal["nearest", "resample"]

_BLOCK_SAMPLES = 16384  # the block's float64 and int64 places fit in a level-2 cache


def circular_shift(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate a clip (T,) by a uniform number of samples, 0 .. T - 1; samples that leave at the end enter at the start.

    The result is a new array.

    >>> sorted(circular_shift(np.arange(4.0), np.random.default_rng(0)).tolist())
    [0.0, 1.0, 2.0, 3.0]
    """
    return np.roll(waveform, int(rng.integers(max(len(waveform), 1))))


def change_speed(waveform: np.ndarray, factor: float, *, method: SpeedMethod = "nearest") -> np.ndarray:
    """Play a waveform faster (`factor` > 1: shorter and higher) or slower (`factor` < 1: longer and lower).

    The result has ceil(T / factor) samples; the pitch moves by 12 log2(factor) semitones. The method `nearest` takes
    sample round(n · factor) for output sample n, which aliases and adds images, as the published recipe does;
    `resample` is a band-limited resampler (soxr, HQ). Raise an ArgumentError if `factor` is not a positive number, or
    `method` is unknown.

    >>> change_speed(np.arange(6.0), 2.0).tolist()
    [0.0, 2.0, 4.0]
    """
    if not (math.isfinite(factor) and factor > 0):
        raise ArgumentError(f"`factor` (={factor}) must be a finite number above 0; 1 leaves the speed unchanged")
    num_samples = math.ceil(len(waveform) / factor)
    if method == "nearest":
        return _take_nearest(waveform, factor, num_samples)
    if method == "resample":
        return _resize(soxr.resample(waveform, factor, 1.0), num_samples, 0)
    raise ArgumentError(f"`method` (={method!r}) must be 'nearest' or 'resample'")


def _take_nearest(waveform: np.ndarray, step: float, num_samples: int) -> np.ndarray:
    """Samples round(n · step), n = 0 .. num_samples - 1.

    One block at a time takes 0.7 ms for 10 s at 32 kHz; arrays of the whole length take 5 to 15 ms, mostly page faults.
    """
    result = np.empty(num_samples, dtype=waveform.dtype)
    counts = np.arange(_BLOCK_SAMPLES, dtype=np.float64)
    for start in range(0, num_samples, _BLOCK_SAMPLES):
        block = result[start : start + _BLOCK_SAMPLES]
        places = np.rint((counts[: len(block)] + start) * step).astype(np.int64)
        waveform.take(places, out=block, mode="clip")
    return result


def random_pad_or_crop(waveform: np.ndarray, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Pad or crop a waveform (T,) to a length: place it at random in zeros, or keep a random part of it.

    One draw is uniform over every possible alignment.

    >>> random_pad_or_crop(np.ones(3), 5, np.random.default_rng(0)).sum().item()
    3.0
    """
    return _resize(waveform, num_samples, int(rng.integers(abs(num_samples - len(waveform)) + 1)))


def _resize(waveform: np.ndarray, num_samples: int, offset: int) -> np.ndarray:
    """Put `offset` zeros before a short waveform and zeros after it, or drop `offset` samples of a long one."""
    if len(waveform) >= num_samples:
        return waveform[offset : offset + num_samples]
    resized = np.zeros(num_samples, dtype=waveform.dtype)
    resized[offset : offset + len(waveform)] = waveform
    return resized


class ShiftSpeedGainConfig(Settings):
    """Settings of the changes of a waveform."""

    shift_probability: Probability = 1.0
    """Share of clips rotated by a random number of samples over their whole length."""

    speed_probability: Probability = 0.5
    """Share of clips played faster or slower, then padded or cropped back at a random place."""

    stretch_range: Range[Positive] = (0.5, 1.5)
    """Lowest and highest ratio of new to old length, drawn uniformly: 0.5 plays twice as fast. The published code
    applies its range (0.5, 1.5) to the length too, so its speeds are from 0.67 to 2."""

    speed_method: SpeedMethod = "nearest"
    """`nearest`: nearest sample, as published (pitch moves, aliases); `resample`: band-limited (pitch moves, clean)."""

    gain_db: Range[Decibels] = (0.0, 0.0)
    """Lowest and highest random gain in dB; (0, 0) is off, as in the paper."""


class ShiftSpeedGain:
    """Shift, change the speed of, and scale a clip; its length stays.

    The order is that of the published recipe: the clip, already truncated or zero-padded to its fixed length, is
    shifted (padding included), then its speed is changed, then it is padded or cropped back at a random place. Gain
    comes last. All three draw from one stream, in this order.

    The published recipe draws the ratio of new to old *length* uniformly from 0.5 to 1.5, so the speed is from 1 / 1.5
    to 2, and slow clips are as likely as fast ones by length: `stretch_range` is that range.

    >>> change = ShiftSpeedGain(ShiftSpeedGainConfig(speed_probability=1.0))
    >>> change(np.ones(100, dtype=np.float32), np.random.default_rng(0)).shape
    (100,)
    """

    name: ClassVar[str] = "waveform"

    def __init__(self, config: ShiftSpeedGainConfig) -> None:
        self.config = config

    @property
    def is_on(self) -> bool:
        """True if any clip may change."""
        config = self.config
        return config.shift_probability > 0 or config.speed_probability > 0 or config.gain_db != (0.0, 0.0)

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augment one clip (T,) with draws from `rng`; returns (T,), never the array passed in."""
        config, changed = self.config, waveform
        if rng.random() < config.shift_probability:
            changed = circular_shift(changed, rng)
        if rng.random() < config.speed_probability:
            changed = change_speed(changed, 1.0 / rng.uniform(*config.stretch_range), method=config.speed_method)
            changed = random_pad_or_crop(changed, len(waveform), rng)
        if config.gain_db != (0.0, 0.0):
            changed = changed * waveform.dtype.type(10.0 ** (rng.uniform(*config.gain_db) / 20.0))
        return waveform.copy() if np.may_share_memory(changed, waveform) else changed
