"""SpecAugment masks (Park et al., 2019, arXiv 1904.08779): a band of mels and a stretch of frames become zero.

Axes: B clips, M mels, F frames.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from audio_dcls.data.augment.augmentation import SpectrogramSize, Stage
from audio_dcls.data.augment.boxes import inside_boxes
from audio_dcls.errors import ArgumentError
from audio_dcls.settings import Settings


class MelMasksConfig(Settings):
    """Settings of the masks."""

    freq_mask_mels: int = Field(default=0, ge=0)
    """Largest height of the band of mels masked in the normalised spectrogram; 0 is off, as in the paper."""

    time_mask_frames: int = Field(default=0, ge=0)
    """Largest width of the stretch of frames masked in the normalised spectrogram; 0 is off, as in the paper."""


class MelMasks:
    """Set one band of mels and one stretch of frames of the normalised mel spectrogram to zero, its training mean.

    Height and width are uniform from 0 to the largest; an empty mask changes nothing. Raise an ArgumentError if a mask
    may be larger than the spectrogram.

    >>> masks = MelMasks(MelMasksConfig(), SpectrogramSize(513, 128, 1001))
    >>> masks.is_on, masks.draw(np.random.default_rng(0)).tolist()
    (False, [[0, 0, 0, 1001], [0, 0, 128, 0]])
    """

    name: ClassVar[str] = "mask"
    stage: ClassVar[Stage] = "mel"

    def __init__(self, config: MelMasksConfig, size: SpectrogramSize) -> None:
        self.config = config
        self.num_mels, self.num_frames = size.num_mels, size.num_frames
        rules = (("freq_mask_mels", self.num_mels, "mels"), ("time_mask_frames", self.num_frames, "frames"))
        for key, most, unit in rules:
            if getattr(config, key) > most:
                raise ArgumentError(f"`{key}` (={getattr(config, key)}) must be from 0 (off) to the {most} {unit}")

    @property
    def is_on(self) -> bool:
        """True if a mask may be larger than empty."""
        return self.config.freq_mask_mels > 0 or self.config.time_mask_frames > 0

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw two boxes, the band and the stretch: (2, 4) int64."""
        height = rng.integers(self.config.freq_mask_mels + 1)
        top = rng.integers(self.num_mels - height + 1) if height else 0
        width = rng.integers(self.config.time_mask_frames + 1)
        left = rng.integers(self.num_frames - width + 1) if width else 0
        return np.array([[top, 0, height, self.num_frames], [0, left, self.num_mels, width]], dtype=np.int64)

    def apply(self, spectrogram: Tensor, draws: Tensor) -> Tensor:
        """Mask the boxes (B, 2, 4) of normalised mel spectrograms (B, 1, M, F)."""
        inside = inside_boxes(draws, spectrogram).any(dim=1, keepdim=True)
        return spectrogram.masked_fill(inside, 0.0)
