"""Prepare a run without training it: its length, batch layout, memory of the index, and first batch."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

import psutil

from audio_dcls.data.loading.teacher_logits import load_teacher
from audio_dcls.errors import ManifestError
from audio_dcls.models import build_tagger
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.training_clips import load_manifests
from audio_dcls.training.distributed.gather import MIB
from audio_dcls.training.prepare import PreparedRun, prepare_run


@dataclass(frozen=True, eq=False)
class RunPlan:
    """The run that a config would train. Sound files may be missing: only those of the first batch are read."""

    run: PreparedRun
    num_eval_clips: int
    num_classes: int
    index_mib: float
    """Growth of the process's memory while it read the manifests."""
    index_s: float
    """Seconds to read the manifests."""
    first_batch_s: float
    """Seconds from the start until the first micro-batch was loaded."""
    num_first_clips: int
    """Clips of the first micro-batch; the sound of `num_first_read` of them could be read."""
    num_first_read: int


def plan_run(config: TrainConfig, fabric: Any) -> RunPlan:
    """Do everything that a training does before its first step, and load this process's first micro-batch.

    Clips are taken as the manifests list them, without a check that their files can be read. The weights are random, so
    nothing is downloaded for them. The config's first seed is used, and the fabric must be launched. Raises
    `ConfigError` if the batch cannot be cut over the processes, or is larger than the training set; `ManifestError` if
    a manifest cannot be read, or a split has no row; `ConfigError` if the teacher's file cannot be used.
    """
    started_s, resident = time.perf_counter(), psutil.Process().memory_info().rss
    manifest = load_manifests(config.data)
    names = config.data.split_names(manifest.splits(), manifest.source)
    train, evaluation = manifest.split(*names.train).table, manifest.split(*names.eval).table
    index_s, index_mib = time.perf_counter() - started_s, (psutil.Process().memory_info().rss - resident) / MIB
    for key, splits, clips in (("train_splits", names.train, train), ("eval_splits", names.eval, evaluation)):
        if not len(clips):
            raise ManifestError(
                f"no clip for `data.{key}` (={list(splits)}) in '{manifest.source}'; its splits are "
                f"{sorted(manifest.splits())}"
            )
    num_classes = len(manifest.labels)
    build_model = functools.partial(build_tagger, config.model, config.frontend, num_classes)
    run = prepare_run(config, config.seeds[0], train, num_classes, fabric, build_model)
    if config.distillation is not None:
        load_teacher(config.distillation.file, train.ids.to_list(), num_classes)
    batch = next(iter(run.batches(run.sampler(0, 1))))
    return RunPlan(
        run=run,
        num_eval_clips=len(evaluation),
        num_classes=num_classes,
        index_mib=index_mib,
        index_s=index_s,
        first_batch_s=time.perf_counter() - started_s,
        num_first_clips=len(batch) + len(batch.failures),
        num_first_read=len(batch),
    )
