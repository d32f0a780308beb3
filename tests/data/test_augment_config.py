"""Augmentation settings: the recipe's numbers, and what is built from them."""

from __future__ import annotations

import numpy as np
import pytest

from audio_dcls import settings
from audio_dcls.data.augment.config import AugmentConfig, build_waveform_augment
from audio_dcls.data.augment.spectrogram import draw_erase_box, draw_mask_boxes
from audio_dcls.errors import ConfigError


def test_defaults_are_the_papers_recipe():
    config = AugmentConfig()
    assert (config.shift_probability, config.speed_probability, config.stretch_range) == (1.0, 0.5, (0.5, 1.5))
    assert (config.erase_probability, config.erase_area, config.erase_ratio) == (0.25, (0.02, 0.33), (0.3, 3.3))
    assert (config.mixup_alpha, config.label_smoothing, config.speed_method) == (0.8, 0.1, "nearest")
    assert (config.gain_db, config.freq_mask_mels, config.time_mask_frames) == ((0.0, 0.0), 0, 0)


def test_every_field_is_documented():
    assert all(field.description for field in AugmentConfig.model_fields.values())


@pytest.mark.parametrize("key", ["stretch_range", "gain_db", "erase_area", "erase_ratio"])
def test_reversed_ranges_are_refused(key):
    with pytest.raises(ConfigError, match=f"`{key}`.*swap them"):
        settings.build(AugmentConfig, {key: [0.9, 0.1]}, "test")


def test_keywords_fit_the_functions_they_are_for_and_are_none_when_off():
    rng = np.random.default_rng(0)
    config = AugmentConfig(erase_probability=1.0, time_mask_frames=7)
    erase, mask = config.erase_keywords(), config.mask_keywords()
    assert erase is not None and draw_erase_box(513, 1001, rng, **erase)[2] > 0
    assert mask is not None and draw_mask_boxes(128, 1001, rng, **mask).shape == (2, 4)
    assert AugmentConfig(erase_probability=0).erase_keywords() is None
    assert AugmentConfig().mask_keywords() is None


def test_the_built_augmentation_follows_the_config():
    waveform = np.linspace(-1, 1, 64, dtype=np.float32)
    config = AugmentConfig(shift_probability=0, speed_probability=0, gain_db=(6.0, 6.0))
    augment = build_waveform_augment(config)
    assert augment is not None
    np.testing.assert_allclose(augment(waveform, np.random.default_rng(0)), waveform * 10 ** (6 / 20), rtol=1e-6)
