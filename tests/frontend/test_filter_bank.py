"""The mel filters against librosa, torchaudio and their definition."""

import librosa
import numpy as np
import pytest

from audio_dcls.errors import ArgumentError
from audio_dcls.frontend import mel_filter_bank

BANKS = [(513, 128, 50.0, 14_000.0, 32_000), (513, 64, 0.0, 16_000.0, 32_000), (201, 40, 20.0, 7_600.0, 16_000)]


@pytest.mark.parametrize("sizes", BANKS)
def test_equals_librosa(sizes: tuple) -> None:
    num_bins, num_mels, low_hz, high_hz, rate_hz = sizes
    expected = librosa.filters.mel(
        sr=rate_hz,
        n_fft=2 * (num_bins - 1),
        n_mels=num_mels,
        fmin=low_hz,
        fmax=high_hz,
        htk=True,
        norm=None,
        dtype=np.float64,
    )
    np.testing.assert_allclose(mel_filter_bank(*sizes), expected.T, atol=1e-12)


@pytest.mark.parametrize("sizes", BANKS)
def test_equals_torchaudio(sizes: tuple) -> None:
    torchaudio = pytest.importorskip("torchaudio")
    num_bins, num_mels, low_hz, high_hz, rate_hz = sizes
    expected = torchaudio.functional.melscale_fbanks(num_bins, low_hz, high_hz, num_mels, rate_hz)
    # torchaudio computes the mel edges in float32: an edge near 14 kHz is off by a few mHz, a slope by 1e-5
    np.testing.assert_allclose(mel_filter_bank(*sizes), expected.numpy(), atol=5e-5)


def test_neighbouring_triangles_sum_to_one_between_the_outer_centres() -> None:
    bank = mel_filter_bank(2049, 32, 0.0, 16_000.0, 32_000)
    bins_hz = np.linspace(0, 16_000, 2049)
    centres_hz = bins_hz[bank.argmax(axis=0)]
    inside = (bins_hz > centres_hz[0] + 10) & (bins_hz < centres_hz[-1] - 10)
    np.testing.assert_allclose(bank[inside].sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ((1, 8, 0.0, 100.0, 200), "num_bins"),
        ((9, 0, 0.0, 100.0, 200), "num_mels"),
        ((9, 8, 90.0, 101.0, 200), "high_hz"),
    ],
)
def test_bad_sizes_are_refused(sizes: tuple, named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        mel_filter_bank(*sizes)
