"""Random changes of training clips: waveforms in the workers, spectrograms and mixtures on the training device."""

from audio_dcls.data.augment.augmentation import (
    Augmentation,
    SpectrogramAugmentation,
    SpectrogramSize,
    WaveformAugmentation,
)
from audio_dcls.data.augment.config import AugmentConfig, build_augmentation
from audio_dcls.data.augment.mixup import (
    MixupConfig,
    check_mixup_groups,
    draw_mixup,
    micro_batch_partners,
    mix,
    smooth_labels,
)

__all__ = [
    "AugmentConfig",
    "Augmentation",
    "MixupConfig",
    "SpectrogramAugmentation",
    "SpectrogramSize",
    "WaveformAugmentation",
    "build_augmentation",
    "check_mixup_groups",
    "draw_mixup",
    "micro_batch_partners",
    "mix",
    "smooth_labels",
]
