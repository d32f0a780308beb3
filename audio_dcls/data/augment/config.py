"""All augmentation settings, defaults as in the paper's recipe, and the lists of augmentations.

To add one: write its config and its class in a file of their own, add the config to the bases of `AugmentConfig`, and
the class to `WAVEFORM` or `SPECTROGRAM`.
"""

from __future__ import annotations

from collections.abc import Callable

from audio_dcls.data.augment.augmentation import (
    Augmentation,
    SpectrogramAugmentation,
    SpectrogramSize,
    WaveformAugmentation,
)
from audio_dcls.data.augment.mel_masks import MelMasks, MelMasksConfig
from audio_dcls.data.augment.mixup import MixupConfig
from audio_dcls.data.augment.random_erasing import RandomErasing, RandomErasingConfig
from audio_dcls.data.augment.shift_speed_gain import ShiftSpeedGain, ShiftSpeedGainConfig
from audio_dcls.frontend import FrontendConfig


class AugmentConfig(MixupConfig, MelMasksConfig, RandomErasingConfig, ShiftSpeedGainConfig):
    """Random changes of the training clips; a probability, width or weight of 0 turns one off."""

    # A config file lists the keys of the last base first.


WAVEFORM: tuple[Callable[[AugmentConfig], WaveformAugmentation], ...] = (ShiftSpeedGain,)
"""Augmentations of waveforms, in the order in which they are applied."""

SPECTROGRAM: tuple[Callable[[AugmentConfig, SpectrogramSize], SpectrogramAugmentation], ...] = (RandomErasing, MelMasks)
"""Augmentations of spectrograms, in the order in which they are applied."""


def build_augmentation(config: AugmentConfig, frontend: FrontendConfig, seed: int) -> Augmentation | None:
    """Build all augmentations that a config turns on; None if it turns all off.

    The frontend gives the sizes of the spectrograms; raise an ArgumentError if a setting does not fit them.

    >>> off = AugmentConfig(shift_probability=0, speed_probability=0, erase_probability=0)
    >>> build_augmentation(off, FrontendConfig(), seed=0) is None
    True
    """
    size = SpectrogramSize(frontend.num_bins, frontend.num_mels, frontend.num_frames)
    waveform = [one for one in (make(config) for make in WAVEFORM) if one.is_on]
    spectrogram = [one for one in (make(config, size) for make in SPECTROGRAM) if one.is_on]
    return Augmentation(seed, waveform, spectrogram) if waveform or spectrogram else None
