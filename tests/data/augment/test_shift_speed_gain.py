"""Shift, speed and gain of waveforms: against numpy's roll, torch's nearest index, spectra, and counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import torch

from audio_dcls import settings
from audio_dcls.data.augment.shift_speed_gain import (
    ShiftSpeedGain,
    ShiftSpeedGainConfig,
    change_speed,
    circular_shift,
    random_pad_or_crop,
)
from audio_dcls.errors import ArgumentError, ConfigError

SMALLEST_P_VALUE = 1e-4
SAMPLE_RATE_HZ = 32000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def augmentation(**values: Any) -> ShiftSpeedGain:
    return ShiftSpeedGain(ShiftSpeedGainConfig(**values))


def tone(hz: float, num_samples: int = 32000) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(num_samples) / SAMPLE_RATE_HZ).astype(np.float32)


def peak_hz(waveform: np.ndarray) -> float:
    window = scipy.signal.get_window("hann", len(waveform))
    return float(np.abs(np.fft.rfft(waveform * window)).argmax() * SAMPLE_RATE_HZ / len(waveform))


def test_shift_is_a_roll_and_every_shift_is_as_likely():
    waveform = np.arange(7.0)
    shifts = [int(circular_shift(waveform, rng(seed)).argmin()) for seed in range(2100)]
    assert scipy.stats.chisquare(np.bincount(shifts, minlength=7)).pvalue > SMALLEST_P_VALUE
    for seed in range(20):
        np.testing.assert_array_equal(circular_shift(waveform, rng(seed)), np.roll(waveform, rng(seed).integers(7)))


@pytest.mark.parametrize("stretch", [0.5, 0.6180339887, 0.999, 1.0, 1.25, 1.5])
@pytest.mark.parametrize("num_samples", [1, 2, 1000, 20001, 40000])
def test_nearest_takes_the_rounded_index_as_published(stretch, num_samples):
    waveform = rng().standard_normal(num_samples).astype(np.float32)
    factor = 1.0 / stretch
    places = torch.arange(0, num_samples, factor, dtype=torch.float64).round().long().clamp(max=num_samples - 1)
    changed = change_speed(waveform, factor)
    assert changed.dtype == np.float32
    np.testing.assert_array_equal(changed, waveform[places.numpy()])


@pytest.mark.parametrize("method", ["nearest", "resample"])
@pytest.mark.parametrize("factor", [2.0, 1.3, 1.0, 0.7])
def test_a_tone_moves_by_the_factor_and_the_length_by_its_inverse(method, factor):
    changed = change_speed(tone(1000), factor, method=method)
    assert len(changed) == int(np.ceil(32000 / factor))
    assert changed.dtype == np.float32
    assert peak_hz(changed) == pytest.approx(1000 * factor, abs=2.0)  # 2 Hz: the widest bin of these lengths is 2 Hz


def test_resampling_does_not_alias_and_nearest_does():
    high = tone(12000)  # 24 kHz at double speed: above the Nyquist frequency
    assert np.sqrt(np.mean(change_speed(high, 2.0, method="resample")[100:-100] ** 2)) < 1e-3
    assert np.sqrt(np.mean(change_speed(high, 2.0)[100:-100] ** 2)) > 0.5


def test_speed_of_an_empty_waveform_is_empty():
    for method in ("nearest", "resample"):
        assert change_speed(np.empty(0, np.float32), 1.5, method=method).shape == (0,)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_factors_are_refused(factor):
    with pytest.raises(ArgumentError, match="`factor`"):
        change_speed(np.ones(4), factor)


def test_pad_and_crop_reach_every_alignment_alike():
    short, long = np.ones(3), np.arange(8.0)
    starts = [int(random_pad_or_crop(short, 8, rng(seed)).argmax()) for seed in range(1200)]
    assert scipy.stats.chisquare(np.bincount(starts, minlength=6)).pvalue > SMALLEST_P_VALUE
    crops = [random_pad_or_crop(long, 3, rng(seed)) for seed in range(1200)]
    assert scipy.stats.chisquare(np.bincount([int(crop[0]) for crop in crops], minlength=6)).pvalue > SMALLEST_P_VALUE
    assert all(np.all(np.diff(crop) == 1) for crop in crops)
    np.testing.assert_array_equal(random_pad_or_crop(long, 8, rng()), long)


def test_augment_with_everything_off_gives_back_a_copy():
    waveform = rng().standard_normal(100).astype(np.float32)
    same = augmentation(shift_probability=0, speed_probability=0)(waveform, rng())
    np.testing.assert_array_equal(same, waveform)
    assert not np.shares_memory(same, waveform)


def test_augment_keeps_length_type_and_its_input():
    waveform = rng().standard_normal(1000).astype(np.float32)
    before = waveform.copy()
    for seed in range(40):
        changed = augmentation(speed_method="resample", gain_db=(-6, 6))(waveform, rng(seed))
        assert changed.shape == (1000,) and changed.dtype == np.float32
        assert not np.shares_memory(changed, waveform)
    np.testing.assert_array_equal(waveform, before)


def test_half_of_the_clips_change_speed_and_the_new_length_is_uniform():
    augment = augmentation(shift_probability=0)
    waveform = np.arange(1.0, 2001.0)
    changed = [augment(waveform, rng(seed)) for seed in range(1500)]
    unchanged = sum(np.array_equal(one, waveform) for one in changed)
    assert scipy.stats.binomtest(unchanged, 1500, 0.5).pvalue > SMALLEST_P_VALUE
    padded = [(one > 0).sum() / 2000 for one in changed if (one == 0).any()]
    assert scipy.stats.kstest(padded, scipy.stats.uniform(0.5, 0.5).cdf).pvalue > SMALLEST_P_VALUE
    assert scipy.stats.binomtest(len(padded), 1500 - unchanged, 0.5).pvalue > SMALLEST_P_VALUE


def test_gain_is_uniform_in_decibels():
    augment = augmentation(shift_probability=0, speed_probability=0, gain_db=(-10.0, 5.0))
    gains_db = [20 * np.log10(augment(np.ones(1), rng(seed))[0]) for seed in range(1500)]
    assert scipy.stats.kstest(gains_db, scipy.stats.uniform(-10, 15).cdf).pvalue > SMALLEST_P_VALUE


@pytest.mark.parametrize(
    "keywords",
    [
        {"shift_probability": 1.1},
        {"speed_probability": -0.1},
        {"stretch_range": (0.0, 1.5)},
        {"stretch_range": (1.5, 0.5)},
        {"gain_db": (3, -3)},
        {"speed_method": "linear"},
    ],
)
def test_bad_settings_are_refused_by_name(keywords):
    with pytest.raises(ConfigError, match=f"'{next(iter(keywords))}"):
        settings.build(ShiftSpeedGainConfig, keywords, "test")
