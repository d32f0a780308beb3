"""Decoded waveforms in memory that all data-loading processes share.

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
    """Float32 waveforms of one length, shared by forked and spawned processes.

    Waveforms stay in float32, four bytes per sample (1.28 MB for 10 s at 32 kHz), so that a clip from the cache equals
    the clip from its file bit for bit; int16 would halve that and raise the noise floor, which the decibel scale shows.
    All memory is committed at the start, so a machine that has too little fails at once, not in the middle of an epoch.
    Each training process (rank) has its own cache. Two workers may store the same clip at once: they write the same
    bytes.

    The memory is multiprocessing's `RawArray`, not a shared tensor of torch: it falls back to a temporary file where
    /dev/shm is small (64 MB in a container), and a tensor would end the process with a bus error there.

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
        """The stored waveform (T,) of clip `index`, read-only and not copied; None if it is not stored."""
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
                "the length of all waveforms in the cache"
            )
        self._row(index)[:] = waveform
        self._is_stored[index] = 1

    def _row(self, index: int) -> np.ndarray:
        offset = index * self.clip_samples * _BYTES_PER_SAMPLE
        return np.frombuffer(memoryview(self._samples), dtype=np.float32, count=self.clip_samples, offset=offset)
