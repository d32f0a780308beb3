"""Augmentation settings: the recipe's numbers, and what is built from them."""

from __future__ import annotations

import numpy as np
import pytest

from audio_dcls import settings
from audio_dcls.data.augment.config import AugmentConfig, build_augmentation
from audio_dcls.errors import ConfigError
from audio_dcls.frontend import FrontendConfig

OFF = AugmentConfig(shift_probability=0, speed_probability=0, erase_probability=0)


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
    with pytest.raises(ConfigError, match=f"'{key}'.*swap them"):
        settings.build(AugmentConfig, {key: [0.9, 0.1]}, "test")


def test_keys_are_listed_in_the_order_in_which_they_are_applied():
    keys = list(AugmentConfig.model_fields)
    assert keys[0] == "shift_probability" and keys[5] == "erase_probability" and keys[-1] == "label_smoothing"


def test_only_what_is_on_is_built():
    def built(**changes: object) -> list[str]:
        made = build_augmentation(OFF.model_copy(update=changes), FrontendConfig(), seed=0)
        return [] if made is None else [one.name for one in (*made.waveform, *made.spectrogram)]

    assert build_augmentation(OFF, FrontendConfig(), seed=0) is None
    assert built(gain_db=(0.0, 1.0)) == built(speed_probability=0.1) == ["waveform"]
    assert built(erase_probability=0.1) == ["erase"]
    assert built(time_mask_frames=7) == built(freq_mask_mels=7) == ["mask"]
    assert built(shift_probability=1.0, erase_probability=1.0, time_mask_frames=7) == ["waveform", "erase", "mask"]


def test_the_draws_fit_the_spectrograms():
    config = OFF.model_copy(update={"erase_probability": 1.0, "time_mask_frames": 7})
    augmentation = build_augmentation(config, FrontendConfig(), seed=0)
    assert augmentation is not None
    draws = augmentation.draw(0, 0)
    assert draws["erase"].shape == (4,) and draws["erase"][2] > 0 and draws["mask"].shape == (2, 4)


def test_the_built_augmentation_follows_the_config():
    waveform = np.linspace(-1, 1, 64, dtype=np.float32)
    augmentation = build_augmentation(OFF.model_copy(update={"gain_db": (6.0, 6.0)}), FrontendConfig(), seed=0)
    assert augmentation is not None
    changed = augmentation.change_waveform(waveform, 0, 0)
    np.testing.assert_allclose(changed, waveform * 10 ** (6 / 20), rtol=1e-6)
