"""Evaluate a model during training, over all processes."""

from __future__ import annotations

from typing import Any

from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.evaluation.metrics import TaggingMetrics, tagging_metrics
from audio_dcls.evaluation.predict import predict
from audio_dcls.runs.config import TrainConfig
from audio_dcls.training.distributed.gather import gather_predictions


def evaluate_clips(fabric: Any, model: Any, dataset: ClipDataset, config: TrainConfig, batch: int) -> TaggingMetrics:
    """Score every clip once, each on one of the processes; the model is in evaluation mode meanwhile.

    Args:
        fabric: launched.
        model: waveforms (B, T) -> logits (B, C), on the fabric's device.
        dataset: the clips, without augmentation.
        config: precision, activation and workers.
        batch: clips per forward pass.
    """
    loader = eval_loader(
        dataset,
        batch,
        num_workers=config.data.num_workers,
        rank=fabric.global_rank,
        num_ranks=fabric.world_size,
    )
    own = predict(model, loader, fabric.device, bf16=config.loop.precision == "bf16", activation=config.loss.activation)
    predictions = gather_predictions(fabric, own)
    clip_ids = dataset.clips.ids.take(predictions.indices).to_list()
    return tagging_metrics(predictions.targets, predictions.scores, clip_ids)
