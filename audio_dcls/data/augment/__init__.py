"""Random changes of training clips: waveforms in the workers, spectrograms and mixtures on the training device."""

from audio_dcls.data.augment.config import AugmentConfig, build_waveform_augment
from audio_dcls.data.augment.mixup import check_mixup_groups, draw_mixup, micro_batch_partners, mix, smooth_labels
from audio_dcls.data.augment.spectrogram import draw_erase_box, draw_mask_boxes, erase_boxes, mask_mel
from audio_dcls.data.augment.waveform import WaveformAugment, change_speed, circular_shift, random_pad_or_crop

__all__ = [
    "AugmentConfig",
    "WaveformAugment",
    "build_waveform_augment",
    "change_speed",
    "check_mixup_groups",
    "circular_shift",
    "draw_erase_box",
    "draw_mask_boxes",
    "draw_mixup",
    "erase_boxes",
    "mask_mel",
    "micro_batch_partners",
    "mix",
    "random_pad_or_crop",
    "smooth_labels",
]
