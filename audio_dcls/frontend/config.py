"""All numbers of the frontend, and the sizes that follow from them."""

from __future__ import annotations

import math

import pydantic

from audio_dcls.frontend.filter_bank import mel_filter_bank
from audio_dcls.settings import Settings


class FrontendConfig(Settings):
    """Numbers of the spectrogram; the defaults are those of the DCLS audio paper (arXiv 2309.13972).

    >>> config = FrontendConfig()
    >>> config.clip_samples, config.num_bins, config.num_frames
    (320000, 513, 1001)
    """

    sample_rate_hz: int = pydantic.Field(default=32_000, gt=0)
    """Sample rate of the model's input; files with another rate are resampled."""

    clip_s: float = pydantic.Field(default=10.0, gt=0, allow_inf_nan=False)
    """Length of a clip: longer sounds are truncated (or windowed), and shorter sounds are zero-padded at the end."""

    fft_size: int = pydantic.Field(default=1024, ge=2)
    """Length of the Hann window and of its Fourier transform, in samples."""

    hop_samples: int = pydantic.Field(default=320, ge=1)
    """Distance between two frames: 320 samples are 10 ms at 32 kHz."""

    num_mels: int = pydantic.Field(default=128, ge=1)
    """Number of mel bands."""

    low_hz: float = pydantic.Field(default=50.0, ge=0)
    """Lower edge of the first mel band."""

    high_hz: float = pydantic.Field(default=14_000.0, gt=0)
    """Upper edge of the last mel band; at most half the sample rate."""

    amin: float = pydantic.Field(default=1e-10, gt=0)
    """Lower limit of the mel power before the logarithm, so silence is 10 log10(amin) = -100 dB."""

    mean_db: float = -18.2696
    """Mean over the balanced training split of AudioSet, which is subtracted."""

    std_db: float = pydantic.Field(default=30.5735, gt=0)
    """Standard deviation over the same split, by which the result is divided."""

    @pydantic.model_validator(mode="after")
    def _check_sizes(self) -> FrontendConfig:
        if not self.low_hz < self.high_hz <= self.sample_rate_hz / 2:
            raise ValueError(
                f"`low_hz` (={self.low_hz:g}) and `high_hz` (={self.high_hz:g}) must satisfy low_hz < high_hz <= "
                f"sample_rate_hz / 2 (={self.sample_rate_hz / 2:g}); lower high_hz or raise the sample rate"
            )
        if self.clip_samples <= self.fft_size // 2:
            raise ValueError(
                f"`clip_s` (={self.clip_s:g}) gives {self.clip_samples} samples, which must exceed half of `fft_size` "
                f"(={self.fft_size}) for its edges to be reflected; use longer clips or a shorter transform"
            )
        return self

    @property
    def clip_samples(self) -> int:
        """Samples per clip."""
        return round(self.clip_s * self.sample_rate_hz)

    @property
    def num_bins(self) -> int:
        """Frequencies of the power spectrogram, from 0 Hz to half the sample rate."""
        return self.fft_size // 2 + 1

    @property
    def num_frames(self) -> int:
        """Frames per clip: the first and the last one are centred on the edges."""
        return math.floor(self.clip_samples / self.hop_samples) + 1

    @property
    def num_empty_mels(self) -> int:
        """Mel bands so narrow that no frequency of the Fourier transform is inside; they are the same in every clip."""
        bank = mel_filter_bank(self.num_bins, self.num_mels, self.low_hz, self.high_hz, self.sample_rate_hz)
        return int((~bank.any(axis=0)).sum())
