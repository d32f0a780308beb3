"""Random erasing (Zhong et al., 2017, arXiv 1708.04896): one rectangle of the linear power spectrogram becomes zero.

Axes: B clips, N frequency bins, F frames.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from torch import Tensor

from audio_dcls.data.augment.augmentation import SpectrogramSize, Stage
from audio_dcls.data.augment.boxes import inside_boxes
from audio_dcls.data.augment.ranges import Positive, Probability, Range, Share
from audio_dcls.settings import Settings

_MAX_TRIES = 10


class RandomErasingConfig(Settings):
    """Settings of random erasing."""

    erase_probability: Probability = 0.25
    """Share of clips with one rectangle of the linear power spectrogram set to zero, before the mel filter."""

    erase_area: Range[Share] = (0.02, 0.33)
    """Smallest and largest share of the spectrogram that is erased."""

    erase_ratio: Range[Positive] = (0.3, 3.3)
    """Smallest and largest height (bins) over width (frames) of the rectangle."""


class RandomErasing:
    """Set one random rectangle of a clip's power spectrogram to zero.

    Its share of the spectrogram is uniform over `erase_area`, the logarithm of height / width uniform over
    `erase_ratio`, its place uniform over where it fits. A rectangle as high or as wide as the spectrogram is drawn
    again, ten times at most, then nothing is erased: these are the rules of timm and torchvision, so shares are
    slightly below uniform.

    >>> erasing = RandomErasing(RandomErasingConfig(erase_probability=0), SpectrogramSize(513, 128, 1001))
    >>> erasing.is_on, erasing.draw(np.random.default_rng(0)).tolist()
    (False, [0, 0, 0, 0])
    """

    name: ClassVar[str] = "erase"
    stage: ClassVar[Stage] = "power"

    def __init__(self, config: RandomErasingConfig, size: SpectrogramSize) -> None:
        self.config = config
        self.num_rows, self.num_columns = size.num_bins, size.num_frames

    @property
    def is_on(self) -> bool:
        """True if any clip may be erased."""
        return self.config.erase_probability > 0

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a box: (4,) int64, zeros if nothing is erased."""
        box = np.zeros(4, dtype=np.int64)
        if rng.random() >= self.config.erase_probability:
            return box
        low_ratio, high_ratio = self.config.erase_ratio
        for _ in range(_MAX_TRIES):
            num_cells = rng.uniform(*self.config.erase_area) * self.num_rows * self.num_columns
            height_over_width = math.exp(rng.uniform(math.log(low_ratio), math.log(high_ratio)))
            height = round(math.sqrt(num_cells * height_over_width))
            width = round(math.sqrt(num_cells / height_over_width))
            if 0 < height < self.num_rows and 0 < width < self.num_columns:
                top, left = rng.integers(self.num_rows - height + 1), rng.integers(self.num_columns - width + 1)
                box[:] = top, left, height, width
                break
        return box

    def apply(self, spectrogram: Tensor, draws: Tensor) -> Tensor:
        """Erase the boxes (B, 4) of power spectrograms (B, N, F)."""
        return spectrogram.masked_fill(inside_boxes(draws, spectrogram), 0.0)
