"""All augmentations of a run: their streams, their order, and one that is made here."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.augment.augmentation import Augmentation, SpectrogramSize, Stage
from audio_dcls.data.augment.random_erasing import RandomErasing, RandomErasingConfig
from audio_dcls.data.augment.shift_speed_gain import ShiftSpeedGain, ShiftSpeedGainConfig

ERASING = RandomErasing(RandomErasingConfig(erase_probability=1.0), SpectrogramSize(33, 16, 51))


class Louder:
    """Adds a random number of decibels."""

    is_on = True

    def __init__(self, name: str, stage: Stage) -> None:
        self.name, self.stage = name, stage

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        return np.float32(rng.normal(size=(1, 1)))

    def apply(self, spectrogram: Tensor, draws: Tensor) -> Tensor:
        return spectrogram + draws


class Twice(Louder):
    """Doubles what comes before it."""

    def apply(self, spectrogram: Tensor, draws: Tensor) -> Tensor:
        return 2 * spectrogram


class Inverted:
    """Turns the sign of a waveform."""

    name: ClassVar[str] = "inverted"
    is_on = True

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return waveform * np.float32(rng.choice([-1, 1]))


def test_each_draws_from_its_own_stream_whatever_the_others_do():
    alone = Augmentation(3, spectrogram=[ERASING]).draw(2, 7)
    both = Augmentation(3, spectrogram=[Louder("louder", "power"), ERASING]).draw(2, 7)
    assert list(both) == ["louder", "erase"]
    torch.testing.assert_close(both["erase"], alone["erase"], rtol=0, atol=0)
    assert both["erase"].tolist() == ERASING.draw(counted_rng(3, 2, 7, stream="erase")).tolist()


def test_waveforms_change_in_order():
    waveform = np.linspace(-1, 1, 64, dtype=np.float32)
    published = ShiftSpeedGain(ShiftSpeedGainConfig())
    changed = Augmentation(3, [published, Inverted()]).change_waveform(waveform, 1, 5)
    first = published(waveform, counted_rng(3, 1, 5, stream="waveform"))
    np.testing.assert_array_equal(changed, Inverted()(first, counted_rng(3, 1, 5, stream="inverted")))
    assert Augmentation(3).change_waveform(waveform, 1, 5) is waveform


@pytest.mark.parametrize("stage", ["power", "mel"])
def test_a_stage_applies_its_own_in_order(stage):
    augmentation = Augmentation(0, spectrogram=[Louder("a", stage), Twice("b", stage), ERASING])
    draws = {name: torch.stack([value, value]) for name, value in augmentation.draw(0, 0).items()}
    power = torch.rand(2, 33, 51)
    change = augmentation.at_stage(stage, draws)
    assert change is not None
    expected = 2 * (power + draws["a"])
    torch.testing.assert_close(change(power), ERASING.apply(expected, draws["erase"]) if stage == "power" else expected)


def test_nothing_is_applied_without_draws():
    assert Augmentation(0).at_stage("power", {}) is None
    assert Augmentation(0, spectrogram=[ERASING]).at_stage("power", {}) is None
    assert Augmentation(0, spectrogram=[ERASING]).at_stage("mel", {"erase": torch.zeros(1, 4)}) is None
