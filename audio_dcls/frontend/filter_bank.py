"""Triangular mel filters on the HTK scale.

Axes: N frequency bins, M mel bands.
"""

from __future__ import annotations

import numpy as np

from audio_dcls.errors import ArgumentError


def mel_filter_bank(num_bins: int, num_mels: int, low_hz: float, high_hz: float, sample_rate_hz: float) -> np.ndarray:
    """Weights that sum a power spectrum into mel bands.

    Band edges are evenly spaced on the HTK mel scale, m(f) = 2595 log10(1 + f / 700) (Young et al., The HTK Book, eq.
    5.13). Band k is a triangle over frequency in Hz, 0 at edges k and k + 2, and 1 at edge k + 1. There is no area
    normalisation. These are the defaults of torchaudio's MelScale and librosa's `filters.mel(htk=True, norm=None)`.

    Args:
        num_bins: frequency bins from 0 Hz to half the sample rate, both included; at least 2.
        num_mels: mel bands, at least 1.
        low_hz: lower edge of the first band, in [0, high_hz).
        high_hz: upper edge of the last band, at most half the sample rate.
        sample_rate_hz: samples per second.

    Returns:
        float64 weights in [0, 1].

    Shape:
        (N, M).

    Raises:
        ArgumentError: a size is below its minimum, or the edges are out of order.

    >>> bank = mel_filter_bank(513, 128, 50.0, 14000.0, 32000)
    >>> bank.shape, int(np.flatnonzero(bank.any(axis=1))[0]), int(np.flatnonzero(bank.any(axis=1))[-1])
    ((513, 128), 2, 447)
    """
    if num_bins < 2 or num_mels < 1:
        raise ArgumentError(f"`num_bins` (={num_bins}) must be at least 2 and `num_mels` (={num_mels}) at least 1")
    if not 0 <= low_hz < high_hz <= sample_rate_hz / 2:
        raise ArgumentError(
            f"`low_hz` (={low_hz}) and `high_hz` (={high_hz}) must satisfy 0 <= low_hz < high_hz <= "
            f"sample_rate_hz / 2 (={sample_rate_hz / 2})"
        )
    bins_hz = np.linspace(0.0, sample_rate_hz / 2, num_bins)
    edges_hz = _mel_to_hz(np.linspace(_hz_to_mel(low_hz), _hz_to_mel(high_hz), num_mels + 2))
    left, centre, right = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - left) / (centre - left)
    falling = (right - bins_hz[:, None]) / (right - centre)
    bank = np.clip(np.minimum(rising, falling), 0.0, None)
    bank[(bins_hz <= low_hz) | (bins_hz >= high_hz)] = 0.0  # the outer edges, without rounding errors
    return bank


def _hz_to_mel(frequency_hz: float) -> float:
    return 2595.0 * float(np.log10(1.0 + frequency_hz / 700.0))


def _mel_to_hz(mels: np.ndarray) -> np.ndarray:
    return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
