"""What a config would train, found out without training: lengths, batch layout, memory of the index, first batch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psutil

from audio_dcls.data.loading.loader import train_loader
from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.errors import ManifestError
from audio_dcls.models import build_tagger
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.usable_clips import build_dataset, load_manifests
from audio_dcls.training.clip_order import build_order
from audio_dcls.training.distributed.batch_layout import (
    BatchLayout,
    build_layout,
    check_one_step,
    find_per_device_batch,
)

MIB = 2**20


@dataclass(frozen=True)
class RunPlan:
    """What would be trained. Sound files need not exist: those of the first batch are tried."""

    num_train_clips: int
    num_eval_clips: int
    num_classes: int
    num_parameters: int
    layout: BatchLayout
    num_epochs: int
    steps_per_epoch: int
    warmup_epochs: float
    index_mib: float
    """Memory that the process grew by while it read the manifests."""
    index_s: float
    """Seconds to read the manifests."""
    first_batch_s: float
    """Seconds from the beginning to the first micro-batch in hand."""
    num_first_clips: int
    """Clips of the first micro-batch."""
    num_first_read: int
    """Of those, the ones whose sound could be read."""

    @property
    def num_steps(self) -> int:
        """Optimiser steps of a run."""
        return self.num_epochs * self.steps_per_epoch


def plan_run(config: TrainConfig, fabric: Any) -> RunPlan:
    """Go through everything a training does before its first step, on this process's share of the first batch.

    Clips are taken as the manifests list them: whether their files can be read is not checked, and no weights are
    fetched.

    Args:
        config: the config; its first seed.
        fabric: of `build_fabric`, launched.

    Raises:
        ConfigError: the batch cannot be cut over the processes, or is larger than the training set.
        ManifestError: a manifest cannot be read, or a split has no row.
    """
    started_s, resident = time.perf_counter(), psutil.Process().memory_info().rss
    manifest = load_manifests(config.data)
    names = config.data.split_names(manifest.splits(), manifest.source)
    train, evaluation = manifest.split(*names.train).clips, manifest.split(*names.eval).clips
    index_s, index_mib = time.perf_counter() - started_s, (psutil.Process().memory_info().rss - resident) / MIB
    for key, asked, clips in (("train_splits", names.train, train), ("eval_splits", names.eval, evaluation)):
        if not len(clips):
            raise ManifestError(
                f"no clip for `data.{key}` (={list(asked)}) in '{manifest.source}'; its splits are "
                f"{sorted(manifest.splits())}"
            )
    check_one_step(config, len(train))
    num_classes = len(manifest.labels)
    model = build_tagger(config.model, config.frontend, num_classes)
    found = None
    if config.loop.per_device_batch == "auto":
        found = find_per_device_batch(fabric, model.to(fabric.device), config, num_classes)
    layout = build_layout(config, fabric.world_size, found)
    dataset = build_dataset(config, train, num_classes, augment_seed=config.seeds[0])
    sampler = StepBatchSampler(
        len(train),
        batch_size=config.loop.effective_batch,
        micro_batch_size=layout.per_device_batch,
        seed=config.seeds[0],
        first_step=0,
        num_steps=1,
        rank=fabric.global_rank,
        num_ranks=fabric.world_size,
        order=build_order(config.data, dataset.clips),
    )
    batch = next(iter(train_loader(dataset, sampler, num_workers=config.data.num_workers)))
    return RunPlan(
        num_train_clips=len(train),
        num_eval_clips=len(evaluation),
        num_classes=num_classes,
        num_parameters=sum(p.numel() for p in model.parameters()),
        layout=layout,
        num_epochs=config.loop.epochs,
        steps_per_epoch=sampler.steps_per_epoch,
        warmup_epochs=config.optimizer.warmup_epochs,
        index_mib=index_mib,
        index_s=index_s,
        first_batch_s=time.perf_counter() - started_s,
        num_first_clips=len(batch) + len(batch.failures),
        num_first_read=len(batch),
    )
