"""The envelope and the spectrogram of a sound of any length, reduced block by block to the size of a picture.

Axis legend: T samples of a block, F frames, N frequency bins, M mels, P columns of the picture, V values of a column.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from audio_dcls.errors import ArgumentError
from audio_dcls.frontend.filter_bank import mel_filter_bank

MAX_COLUMNS = 4096
"""Largest number of columns, about the width of a screen. A long sound has at least half as many."""
_ENVELOPE_S = 1e-3
_HOP_S = 0.01
_FFT_S = 0.06
NUM_MELS = 80
LOW_HZ = 50.0
_FRAMES_AT_ONCE = 256
DYNAMIC_RANGE_DB = 80.0
"""Sound that is quieter than the loudest place by more than this is drawn as silence."""


class SoundPicture:
    """The envelope and the mel spectrogram of a sound, in memory that does not grow with its length.

    The rate of the blocks must be at least 1000 Hz.

    >>> picture = SoundPicture(16_000)
    >>> for _ in range(3):
    ...     picture.add(np.zeros(8_000, dtype=np.float32))
    >>> picture.duration_s, picture.envelope().shape, picture.spectrogram_db().shape
    (1.5, (1500, 2), (80, 150))
    """

    def __init__(self, sample_rate_hz: int) -> None:
        if sample_rate_hz < 1000:
            raise ArgumentError(f"`sample_rate_hz` (={sample_rate_hz}) must be at least 1000 for a picture")
        self.sample_rate_hz = sample_rate_hz
        self.high_hz = sample_rate_hz / 2
        self.num_samples = 0
        self.envelope_samples = max(round(_ENVELOPE_S * sample_rate_hz), 1)
        self.hop_samples = max(round(_HOP_S * sample_rate_hz), 1)
        self.fft_size = 2 ** round(math.log2(_FFT_S * sample_rate_hz))
        self._window = np.hanning(self.fft_size + 1)[:-1].astype(np.float32)
        num_bins = self.fft_size // 2 + 1
        self._bank = mel_filter_bank(num_bins, NUM_MELS, LOW_HZ, self.high_hz, sample_rate_hz).astype(np.float32)
        self._extremes = _Columns(2, np.max)
        self._power = _Columns(NUM_MELS, np.mean)
        self._unbounded = np.zeros(0, dtype=np.float32)
        self._unframed = np.zeros(self.fft_size // 2, dtype=np.float32)

    @property
    def duration_s(self) -> float:
        """Duration of everything that was added."""
        return self.num_samples / self.sample_rate_hz

    def add(self, block: np.ndarray) -> None:
        """Add the next samples, (T,) mono, of any length."""
        block = np.asarray(block, dtype=np.float32)
        self.num_samples += len(block)
        samples = np.concatenate([self._unbounded, block])
        whole = len(samples) // self.envelope_samples * self.envelope_samples
        self._unbounded = samples[whole:]
        self._extremes.add(_extremes(samples[:whole].reshape(-1, self.envelope_samples)))
        self._unframed = np.concatenate([self._unframed, block])
        while len(self._unframed) >= self.fft_size:
            num_frames = min((len(self._unframed) - self.fft_size) // self.hop_samples + 1, _FRAMES_AT_ONCE)
            self._power.add(self._mel_power(self._unframed, num_frames))
            self._unframed = self._unframed[num_frames * self.hop_samples :]

    def envelope(self) -> np.ndarray:
        """The lowest and the highest sample of each column, (P, 2)."""
        rest = self._unbounded[None] if len(self._unbounded) else np.zeros((0, 1))
        return self._extremes.read(_extremes(rest)) * np.array([-1.0, 1.0])

    def spectrogram_db(self) -> np.ndarray:
        """Mel power (M, P) of each column in dB, relative to the loudest place, which is 0."""
        num_missing = -(-self.num_samples // self.hop_samples) - self._power.num_rows
        padded = np.pad(self._unframed, (0, self.fft_size + num_missing * self.hop_samples))
        power = self._power.read(self._mel_power(padded, num_missing)).T
        loudest = float(power.max(initial=0.0))
        if loudest == 0.0:
            return np.full(power.shape, -DYNAMIC_RANGE_DB)
        return 10 * np.log10(np.maximum(power / loudest, 10 ** (-DYNAMIC_RANGE_DB / 10)))

    def _mel_power(self, samples: np.ndarray, num_frames: int) -> np.ndarray:
        """Mel power (F, M) of the first frames."""
        if num_frames <= 0:
            return np.zeros((0, NUM_MELS), dtype=np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(samples, self.fft_size)[:: self.hop_samples][:num_frames]
        return np.abs(np.fft.rfft(frames * self._window)) ** 2 @ self._bank


class _Columns:
    """Rows reduced to at most `MAX_COLUMNS` columns, each of which represents more and more rows."""

    def __init__(self, num_values: int, reduce: Callable[..., np.ndarray]) -> None:
        self.reduce = reduce
        self.columns = np.zeros((MAX_COLUMNS, num_values), dtype=np.float32)
        self.num_columns = 0
        self.num_rows = 0
        self.rows_per_column = 1
        self.waiting = np.zeros((0, num_values), dtype=np.float32)

    def add(self, rows: np.ndarray) -> None:
        """Add rows (n, V)."""
        self.num_rows += len(rows)
        rows = np.concatenate([self.waiting, rows.astype(np.float32)])
        while len(rows) >= self.rows_per_column:
            count = min(len(rows) // self.rows_per_column, MAX_COLUMNS - self.num_columns)
            used = count * self.rows_per_column
            grouped = rows[:used].reshape(count, self.rows_per_column, -1)
            self.columns[self.num_columns : self.num_columns + count] = self.reduce(grouped, axis=1)
            self.num_columns += count
            rows = rows[used:]
            if self.num_columns == MAX_COLUMNS:
                pairs = self.columns.reshape(MAX_COLUMNS // 2, 2, -1)
                self.columns[: MAX_COLUMNS // 2] = self.reduce(pairs, axis=1)
                self.num_columns = MAX_COLUMNS // 2
                self.rows_per_column *= 2
        self.waiting = rows

    def read(self, more: np.ndarray) -> np.ndarray:
        """Columns (P, V); the waiting rows and some more (n, V) are the last columns. Changes nothing."""
        rows = np.concatenate([self.waiting, more.astype(np.float32)])
        starts = range(0, len(rows), self.rows_per_column)
        tail = [self.reduce(rows[start : start + self.rows_per_column], axis=0) for start in starts]
        return np.concatenate([self.columns[: self.num_columns], *(row[None] for row in tail)])


def _extremes(groups: np.ndarray) -> np.ndarray:
    """Minus the lowest and the highest of each group, (n, samples) -> (n, 2); the maximum then reduces both."""
    return np.stack([-groups.min(axis=1, initial=np.inf), groups.max(axis=1, initial=-np.inf)], axis=1)
