"""Sizes of the Fourier transforms."""

from __future__ import annotations

from audio_dcls.dcls.depthwise.fft import _good_fft_size


def test_fft_sizes_are_the_smallest_good_ones():
    assert [_good_fft_size(n) for n in (1, 43, 73, 75, 81, 97)] == [2, 48, 80, 80, 90, 100]
