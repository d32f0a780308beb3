"""SpecAugment masks: by distribution and by cells."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from audio_dcls import settings
from audio_dcls.data.augment.augmentation import SpectrogramSize
from audio_dcls.data.augment.mel_masks import MelMasks, MelMasksConfig
from audio_dcls.errors import ArgumentError, ConfigError

SMALLEST_P_VALUE = 1e-4


def masks(num_mels: int, num_frames: int, freq_mask_mels: int = 0, time_mask_frames: int = 0) -> MelMasks:
    config = MelMasksConfig(freq_mask_mels=freq_mask_mels, time_mask_frames=time_mask_frames)
    return MelMasks(config, SpectrogramSize(1, num_mels, num_frames))


def test_masks_span_the_other_axis_and_their_widths_are_uniform():
    rng = np.random.default_rng(0)
    ours = masks(16, 40, freq_mask_mels=5, time_mask_frames=9)
    boxes = np.stack([ours.draw(rng) for _ in range(3000)])
    band, stretch = boxes[:, 0], boxes[:, 1]
    assert (band[:, [1, 3]] == [0, 40]).all() and (stretch[:, [0, 2]] == [0, 16]).all()
    assert (band[:, 0] + band[:, 2] <= 16).all() and (stretch[:, 1] + stretch[:, 3] <= 40).all()
    assert scipy.stats.chisquare(np.bincount(band[:, 2], minlength=6)).pvalue > SMALLEST_P_VALUE
    assert scipy.stats.chisquare(np.bincount(stretch[:, 3], minlength=10)).pvalue > SMALLEST_P_VALUE
    full_height = band[band[:, 2] == 5][:, 0]
    assert scipy.stats.chisquare(np.bincount(full_height, minlength=12)).pvalue > SMALLEST_P_VALUE


def test_masking_zeroes_the_union_of_the_boxes():
    mel = torch.rand(2, 1, 6, 7) + 0.1
    boxes = torch.tensor([[[1, 0, 2, 7], [0, 3, 6, 2]], [[0, 0, 0, 7], [0, 0, 6, 0]]])
    expected = mel.clone()
    expected[0, :, 1:3] = 0
    expected[0, :, :, 3:5] = 0
    torch.testing.assert_close(masks(6, 7).apply(mel, boxes), expected, rtol=0, atol=0)


def test_wrong_shapes_and_ranges_are_refused_by_name():
    with pytest.raises(ArgumentError, match="`boxes`"):
        masks(3, 3).apply(torch.ones(2, 1, 3, 3), torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="`freq_mask_mels`"):
        masks(8, 8, freq_mask_mels=9)
    with pytest.raises(ConfigError, match="'time_mask_frames"):
        settings.build(MelMasksConfig, {"time_mask_frames": -1}, "test")
