"""Build the model that a run starts with."""

from __future__ import annotations

import numpy as np
import torch

from audio_dcls.errors import ManifestError
from audio_dcls.models import AudioTagger, build_tagger, start_tagger
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.training_clips import TrainingClips
from audio_dcls.training.learning.class_prior import set_prior_bias
from audio_dcls.training.learning.frozen_backbone import check_freezable


def build_initial_model(config: TrainConfig, seed: int, clips: TrainingClips, *, is_begun: bool) -> AudioTagger:
    """The tagger of a run before its first step.

    Pretrained weights are not loaded if the run is begun: it has a checkpoint with its weights then. Raises
    `ManifestError` if the loss needs exactly one label per clip, and a training clip has another number; `ModelError`
    if the model cannot be built as asked, its weights are not available, or it cannot be frozen.
    """
    if config.loss.activation == "softmax":
        _check_one_label(clips)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if is_begun:
            model = build_tagger(config.model, config.frontend, len(clips.labels))
        else:
            model = start_tagger(config.model, config.frontend, len(clips.labels), clips.labels)
    report = model.pretrained_report
    if config.loop.prior_bias and not (report is not None and report.has_classifier):
        kept = [] if report is None else [clips.labels.index(label) for label in report.kept_classes]
        set_prior_bias(model.backbone, clips.train, len(clips.labels), config.loss.activation, kept)
    if config.optimizer.freeze_backbone_epochs is not None and report is not None:
        check_freezable(report)
    return model


def check_buildable(config: TrainConfig) -> None:
    """Build the model on the meta device, so that an error in its config is found before clips are read. Raises
    `ModelError` if no model can be built with this name, these sizes or this swap.
    """
    with torch.device("meta"):
        build_tagger(config.model, config.frontend, num_classes=1)


def _check_one_label(clips: TrainingClips) -> None:
    """Check that every training clip has exactly one label. Raises `ManifestError` if not."""
    wrong = np.flatnonzero(clips.train.label_counts() != 1)
    if len(wrong):
        clip = clips.train[int(wrong[0])]
        names = [clips.labels.names[index] for index in clip.labels]
        raise ManifestError(
            f"`loss.name` (='cross_entropy') needs clips with exactly one label, but clip '{clip.id}' "
            f"('{clip.path}') has {len(names)}: {', '.join(names) or 'no label'}; leave it out of the manifest, or set "
            "loss.name=bce"
        )
