"""Check that a config's mean and standard deviation fit the training clips."""

from __future__ import annotations

import torch

from audio_dcls.data.loading.spectrogram_stats import SpectrogramStats, draw_clips, measure_spectrograms
from audio_dcls.errors import ManifestError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.training_clips import TrainingClips
from audio_dcls.training.train_events import NormalisationMismatch

NUM_CLIPS = 200
"""Clips that are drawn and measured before the first step; it takes seconds, and the mean is within about 1 dB."""
MAX_SHIFT = 0.5
"""Largest difference of the means in configured standard deviations: 15 dB for those of AudioSet."""
MAX_FACTOR = 1.5
"""Largest ratio of the two standard deviations, in either direction."""


def check_normalisation(
    config: TrainConfig, clips: TrainingClips, device: torch.device | str = "cpu"
) -> NormalisationMismatch | None:
    """Measure some training clips, without augmentation; None if the config's numbers fit."""
    sample = draw_clips(clips.train, NUM_CLIPS)
    try:
        stats = measure_spectrograms(sample, config.frontend, num_workers=config.data.num_workers, device=device)
    except ManifestError:  # all of them are missing now: the first batch reports it clip by clip
        return None
    return compare_stats(stats, config.frontend)


def compare_stats(stats: SpectrogramStats, frontend: FrontendConfig) -> NormalisationMismatch | None:
    """Compare measured with configured mean and standard deviation; None if they fit.

    >>> compare_stats(SpectrogramStats(200, 0, -18.0, 31.0, 0.0), FrontendConfig()) is None
    True
    >>> compare_stats(SpectrogramStats(200, 0, -52.0, 31.0, 0.3), FrontendConfig()).shift.__round__(2)
    -1.1
    """
    found = NormalisationMismatch(stats, frontend, MAX_SHIFT, MAX_FACTOR)
    fits = abs(found.shift) <= MAX_SHIFT and 1 / MAX_FACTOR <= found.factor <= MAX_FACTOR
    return None if fits else found
