"""Decoded waveforms kept in memory that every data-loading process shares.

Axes: N clips, T samples.
"""

from __future__ import annotations

import ctypes
import os
from multiprocessing.sharedctypes import RawArray

import numpy as np

from audio_dcls.errors import ArgumentError

_BYTES_PER_SAMPLE = 4


class WaveformCache:
    """Float32 waveforms of one length, stored where forked and spawned processes all see them.

    Kept in float32, four bytes a sample (1.28 MB for 10 s at 32 kHz), so that a clip from the cache is bit for bit the
    clip from its file; int16 would halve that and raise the noise floor, which the decibel scale shows. The whole array
    is committed at once: a machine too small for it says so at the start, not in the middle of an epoch. Every training
    process (rank) has a cache of its own.

    Two processes may store the same clip at the same time: they write the same bytes.

    Args:
        num_clips: N, at least 0.
        clip_samples: T, at least 1.

    Raises:
        ArgumentError: the array does not fit in this machine's memory.

    >>> cache = WaveformCache(num_clips=2, clip_samples=3)
    >>> cache.get(1) is None
    True
    >>> cache.put(1, np.array([0.5, 0.0, -0.5], dtype=np.float32)); cache.get(1).tolist()
    [0.5, 0.0, -0.5]
    """

    def __init__(self, num_clips: int, clip_samples: int) -> None:
        num_bytes = num_clips * clip_samples * _BYTES_PER_SAMPLE
        self.num_clips = num_clips
        self.clip_samples = clip_samples
        advice = (
            f"`cache` (='memory') needs {num_bytes / 1e9:.1f} GB for {num_clips} clips of {clip_samples} samples, more "
            "than this machine has; set it to 'none'"
        )
        if num_bytes > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
            raise ArgumentError(advice)
        try:
            self._samples = RawArray(ctypes.c_float, num_clips * clip_samples)
            self._is_stored = RawArray(ctypes.c_uint8, num_clips)
        except (MemoryError, OSError) as error:
            raise ArgumentError(advice) from error

    def get(self, index: int) -> np.ndarray | None:
        """The stored waveform (T,) of clip `index`, read-only and not copied, or None when it is not stored."""
        if not self._is_stored[index]:
            return None
        waveform = self._row(index)
        waveform.flags.writeable = False
        return waveform

    def put(self, index: int, waveform: np.ndarray) -> None:
        """Store the waveform (T,) float32 of clip `index`.

        Raises:
            ArgumentError: the waveform has another length or type.
        """
        if waveform.shape != (self.clip_samples,) or waveform.dtype != np.float32:
            raise ArgumentError(
                f"`waveform` (={waveform.dtype} {waveform.shape}) must be float32 ({self.clip_samples},), "
                "the length the cache was made for"
            )
        self._row(index)[:] = waveform
        self._is_stored[index] = 1

    def _row(self, index: int) -> np.ndarray:
        offset = index * self.clip_samples * _BYTES_PER_SAMPLE
        return np.frombuffer(memoryview(self._samples), dtype=np.float32, count=self.clip_samples, offset=offset)
