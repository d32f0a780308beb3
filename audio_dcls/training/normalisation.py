"""Whether a config's mean and standard deviation fit the clips that are trained on."""

from __future__ import annotations

import torch

from audio_dcls.data.loading.spectrogram_stats import SpectrogramStats, draw_clips, measure_spectrograms
from audio_dcls.errors import ManifestError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.usable_clips import TrainingClips
from audio_dcls.training.train_events import NormalisationMismatch

NUM_CLIPS = 200
"""Drawn and measured before the first step: a few seconds, and the mean is known to a decibel or so."""
MAX_SHIFT = 0.5
"""The mean may be off by this many of the configured standard deviations: 15 dB of AudioSet's."""
MAX_FACTOR = 1.5
"""The standard deviation may be this many times the configured one, or one over it."""


def check_normalisation(
    config: TrainConfig, clips: TrainingClips, device: torch.device | str = "cpu"
) -> NormalisationMismatch | None:
    """Measure some training clips, without augmentation; None where the config's numbers fit.

    Args:
        config: frontend and workers.
        clips: usable clips.
        device: where the spectrograms are computed.
    """
    some = draw_clips(clips.train, NUM_CLIPS)
    try:
        stats = measure_spectrograms(some, config.frontend, num_workers=config.data.num_workers, device=device)
    except ManifestError:  # not one of them is there any more: the first batch says so, clip by clip
        return None
    return judge(stats, config.frontend)


def judge(stats: SpectrogramStats, frontend: FrontendConfig) -> NormalisationMismatch | None:
    """What is far off, if something is.

    Args:
        stats: of the training clips.
        frontend: holds the configured mean and standard deviation.

    >>> judge(SpectrogramStats(200, 0, -18.0, 31.0, 0.0), FrontendConfig()) is None
    True
    >>> judge(SpectrogramStats(200, 0, -52.0, 31.0, 0.3), FrontendConfig()).shift.__round__(2)
    -1.1
    """
    shift = (stats.mean_db - frontend.mean_db) / frontend.std_db
    factor = stats.std_db / frontend.std_db
    if abs(shift) <= MAX_SHIFT and 1 / MAX_FACTOR <= factor <= MAX_FACTOR:
        return None
    return NormalisationMismatch(
        num_clips=stats.num_clips,
        mean_db=stats.mean_db,
        std_db=stats.std_db,
        configured_mean_db=frontend.mean_db,
        configured_std_db=frontend.std_db,
        shift=shift,
        factor=factor,
        max_shift=MAX_SHIFT,
        max_factor=MAX_FACTOR,
    )
