"""A sound reduced as it passes: torch's transform, the true extremes, and memory that does not grow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audio_dcls.errors import ArgumentError
from audio_dcls.frontend.filter_bank import mel_filter_bank
from audio_dcls.inspection.sound_picture import DYNAMIC_RANGE_DB, LOW_HZ, MAX_COLUMNS, NUM_MELS, SoundPicture

RATE_HZ = 16_000


def some_sound(duration_s: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    level = 0.05 + 0.4 * (np.sin(2 * np.pi * 0.3 * time_s) > 0)
    return (level * (np.sin(2 * np.pi * 700 * time_s) + rng.normal(0, 0.1, len(time_s)))).astype(np.float32)


def pictured(sound: np.ndarray, block_samples: int) -> SoundPicture:
    picture = SoundPicture(RATE_HZ)
    for start in range(0, len(sound), block_samples):
        picture.add(sound[start : start + block_samples])
    return picture


def test_the_spectrogram_is_that_of_torchs_transform() -> None:
    sound = some_sound(3.0)
    picture = pictured(sound, 4_000)
    size = picture.fft_size
    spectrum = torch.stft(
        torch.from_numpy(sound), size, picture.hop_samples, window=torch.hann_window(size), pad_mode="constant",
        return_complex=True,
    )  # fmt: skip
    bank = mel_filter_bank(size // 2 + 1, NUM_MELS, LOW_HZ, RATE_HZ / 2, RATE_HZ)
    mel = bank.T @ spectrum.abs().square().numpy()[:, :300]
    wanted = np.maximum(10 * np.log10(np.maximum(mel / mel.max(), 1e-20)), -DYNAMIC_RANGE_DB)
    got = picture.spectrogram_db()
    assert got.shape == (NUM_MELS, 300)
    np.testing.assert_allclose(got, wanted, atol=0.01)


def test_the_envelope_is_of_the_true_extremes() -> None:
    sound = some_sound(1.5)
    envelope = pictured(sound, 777).envelope()
    columns = sound.reshape(-1, RATE_HZ // 1000)
    np.testing.assert_array_equal(envelope, np.stack([columns.min(axis=1), columns.max(axis=1)], axis=1))


@pytest.mark.parametrize("num_samples", [1, 15, 160, 4_801, 100_003])
def test_blocks_of_any_size_give_the_same_picture(num_samples: int) -> None:
    sound = some_sound(7.0)[:num_samples]
    whole = pictured(sound, num_samples)
    for block_samples in (97, 1_600, 5_000):
        parts = pictured(sound, block_samples)
        assert parts.duration_s == num_samples / RATE_HZ
        np.testing.assert_array_equal(parts.envelope(), whole.envelope())
        np.testing.assert_allclose(parts.spectrogram_db(), whole.spectrogram_db(), atol=1e-3)


def test_a_long_sound_has_no_more_columns_and_the_same_shape() -> None:
    sound = some_sound(10.0)
    picture = SoundPicture(RATE_HZ)
    for _ in range(30):
        picture.add(sound)
    envelope, decibels = picture.envelope(), picture.spectrogram_db()
    assert MAX_COLUMNS // 2 <= len(envelope) <= MAX_COLUMNS + 1
    assert MAX_COLUMNS // 2 <= decibels.shape[1] <= MAX_COLUMNS + 1
    assert envelope.min() == sound.min() and envelope.max() == sound.max()
    assert len(picture._unframed) <= picture.fft_size and len(picture._unbounded) < picture.envelope_samples


def test_reading_changes_nothing_and_silence_is_the_darkest() -> None:
    picture = pictured(some_sound(1.0), 3_000)
    before = picture.spectrogram_db()
    np.testing.assert_array_equal(picture.spectrogram_db(), before)
    np.testing.assert_array_equal(picture.envelope(), picture.envelope())
    silent = pictured(np.zeros(8_000, dtype=np.float32), 8_000).spectrogram_db()
    assert (silent == -DYNAMIC_RANGE_DB).all()
    empty = SoundPicture(RATE_HZ)
    assert empty.envelope().shape == (0, 2) and empty.spectrogram_db().shape == (NUM_MELS, 0)


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`sample_rate_hz` \\(=100\\)"):
        SoundPicture(100)
