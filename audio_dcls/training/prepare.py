"""Prepare a run before its first step: a training and `--dry-run` share this code, so they cannot drift apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from audio_dcls.data.config import DataConfig
from audio_dcls.data.loading.fetch_ahead import build_fetch_ahead
from audio_dcls.data.loading.loader import train_loader
from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.loading.shard_order import ShardOrder, shards_of
from audio_dcls.data.stores.mirror import GB, mirrors_of
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ConfigError
from audio_dcls.models import AudioTagger
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.training_clips import build_dataset
from audio_dcls.training.distributed.batch_layout import (
    BatchLayout,
    build_layout,
    check_one_step,
    find_per_device_batch,
)


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """Model, clips, order and batch layout of one run on this process."""

    config: TrainConfig
    seed: int
    fabric: Any
    model: AudioTagger
    dataset: ClipDataset
    """The training clips, augmented."""
    order: ShardOrder | None
    """Order of the clips; None is a uniform shuffle."""
    layout: BatchLayout

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in an epoch."""
        return self.sampler(0, 0).steps_per_epoch

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.steps_per_epoch * self.config.loop.epochs

    @property
    def num_parameters(self) -> int:
        """Parameters of the model."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def sampler(self, first_step: int, num_steps: int) -> StepBatchSampler:
        """The micro-batches of some steps on this process."""
        return StepBatchSampler(
            len(self.dataset),
            batch_size=self.config.loop.effective_batch,
            micro_batch_size=self.layout.per_device_batch,
            seed=self.seed,
            first_step=first_step,
            num_steps=num_steps,
            rank=self.fabric.global_rank,
            num_ranks=self.fabric.world_size,
            order=self.order,
        )

    def batches(self, sampler: StepBatchSampler) -> Any:
        """A loader of the sampler's micro-batches."""
        pin = self.fabric.device.type == "cuda"
        return train_loader(self.dataset, sampler, num_workers=self.config.data.num_workers, pin_memory=pin)


def prepare_run(
    config: TrainConfig,
    seed: int,
    clips: ClipTable,
    num_classes: int,
    fabric: Any,
    build_model: Callable[[], AudioTagger],
    run_dir: RunDir | None = None,
) -> PreparedRun:
    """Build the model, and decide how the clips are ordered and how a step is cut over processes and passes.

    The fabric must be launched. `build_model` is called once the number of clips is known to be enough. The run's
    folder remembers the batch that was found for `loop.per_device_batch` "auto"; None searches each time. Raises
    `ConfigError` if the batch cannot be cut over the processes, or is larger than the training set, or if a uniform
    shuffle is configured for a remote pack that is larger than its cache.
    """
    check_one_step(config, len(clips))
    model = build_model()
    dataset = build_dataset(config, clips, num_classes, augment_seed=seed)
    order = build_order(config.data, dataset.clips)
    dataset.before_item = build_fetch_ahead(order, dataset.clips, seed)
    batch = config.loop.per_device_batch
    if batch == "auto":
        batch = _find_batch(config, fabric, model, num_classes, run_dir)
    return PreparedRun(config, seed, fabric, model, dataset, order, build_layout(config, fabric.world_size, batch))


def build_order(config: DataConfig, clips: ClipTable) -> ShardOrder | None:
    """The order in which a config reads the training clips in an epoch; None means a uniform shuffle. Raises
    `ConfigError` if a uniform shuffle is configured for a remote pack that is larger than its cache.
    """
    if config.order == "shards":
        return ShardOrder(shards_of(clips), config.shuffle_buffer)
    for mirror in [] if clips.rows is None else mirrors_of(clips.paths, clips.folder):
        size_gb = sum(mirror.sizes.values()) / GB
        if size_gb > mirror.limit_gb:
            raise ConfigError(
                f"`data.order` (='random') would fetch a shard of '{mirror.address}' for almost every clip: the pack "
                f"has {size_gb:.3g} GB, `data.shard_cache_gb` is {mirror.limit_gb:g}; set data.order=shards, or raise "
                "the cache size"
            )
    return None


def _find_batch(config: TrainConfig, fabric: Any, model: AudioTagger, num_classes: int, run_dir: RunDir | None) -> int:
    """The per-device batch that the run began with on these processes, or the largest that fits into memory."""
    processes = {"device": str(fabric.device), "num_processes": fabric.world_size}
    known = {} if run_dir is None else run_dir.status().get("found_batch", {})
    if processes.items() <= known.items():
        return known["per_device_batch"]
    found = find_per_device_batch(fabric, model.to(fabric.device), config, num_classes)
    if run_dir is not None and fabric.is_global_zero:
        run_dir.write_status(found_batch={**processes, "per_device_batch": found})
    return found
