"""The model a run starts with."""

from __future__ import annotations

import numpy as np
import torch

from audio_dcls.errors import ManifestError
from audio_dcls.models import AudioTagger, build_tagger, start_tagger
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.usable_clips import TrainingClips
from audio_dcls.training.learning.class_prior import set_prior_bias
from audio_dcls.training.learning.frozen_backbone import check_freezable


def build_initial_model(config: TrainConfig, seed: int, clips: TrainingClips, *, is_begun: bool) -> AudioTagger:
    """The tagger of a run before its first step.

    Args:
        config: the run's config.
        seed: draws what starts at random.
        clips: the classes, and their frequencies for `loop.prior_bias`.
        is_begun: whether the run has a checkpoint to take its weights from; the hub need not be reached again.

    Raises:
        ManifestError: a training clip has not exactly one label, and the loss asks for it.
        ModelError: the model cannot be built as asked, its weights cannot be had, or it cannot be frozen.
    """
    if config.loss.activation == "softmax":
        check_one_label(clips)
    model_config = config.model.model_copy(update={"pretrained": False}) if is_begun else config.model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = start_tagger(model_config, config.frontend, len(clips.labels), clips.labels)
    trained = model.pretrained_report
    if config.loop.prior_bias and not (trained is not None and trained.has_classifier):
        kept = [] if trained is None else [clips.labels.index(label) for label in trained.kept_classes]
        set_prior_bias(model.backbone, clips.train, len(clips.labels), config.loss.activation, kept)
    if config.optimizer.freeze_backbone_epochs is not None and trained is not None:
        check_freezable(trained)
    return model


def check_buildable(config: TrainConfig) -> None:
    """Build the model without its memory, so that a mistake in its config is found before clips are read.

    Raises:
        ModelError: name, sizes or swap are not those of a model that can be built.
    """
    with torch.device("meta"):
        build_tagger(config.model, config.frontend, num_classes=1)


def check_one_label(clips: TrainingClips) -> None:
    """Make sure that every training clip has exactly one label.

    Raises:
        ManifestError: one has none, or several.
    """
    wrong = np.flatnonzero(clips.train.label_counts() != 1)
    if len(wrong):
        clip = clips.train[int(wrong[0])]
        names = [clips.labels.names[index] for index in clip.labels]
        raise ManifestError(
            f"`loss.name` (='cross_entropy') needs clips with exactly one label, but clip '{clip.id}' "
            f"('{clip.path}') has {len(names)}: {', '.join(names) or 'none'}; leave it out of the manifest, or set "
            "loss.name=bce"
        )
