"""Mel bands that hold no frequency are counted as librosa counts them."""

from __future__ import annotations

import librosa
import pytest

from audio_dcls.frontend import FrontendConfig


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 0), ({"sample_rate_hz": 8000, "high_hz": 4000.0, "hop_samples": 80, "fft_size": 256}, 4)],
)
def test_empty_mel_bands_are_counted(changes: dict[str, float], expected: int) -> None:
    config = FrontendConfig.model_validate(changes)
    bank = librosa.filters.mel(
        sr=config.sample_rate_hz, n_fft=config.fft_size, n_mels=config.num_mels, fmin=config.low_hz,
        fmax=config.high_hz, htk=True, norm=None,
    )  # fmt: skip
    assert config.num_empty_mels == expected == int((bank.max(axis=1) == 0).sum())
