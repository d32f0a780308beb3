"""Data loaders: worker processes decode and augment ahead of the training loop.

The batches depend neither on the number of workers nor on their start method.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import torch

from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.loading.workers import ClipLoader, begin_worker
from audio_dcls.errors import ArgumentError

StartMethod = Literal["fork", "spawn", "forkserver"]


def train_loader(
    dataset: ClipDataset,
    sampler: StepBatchSampler,
    num_workers: int,
    *,
    pin_memory: bool = False,
    prefetch_batches: int = 2,
    start_method: StartMethod | None = None,
) -> ClipLoader:
    """Micro-batches of a whole run, in the sampler's order; the workers live until the run ends.

    Args:
        dataset: the training clips.
        sampler: the clips of each micro-batch; made for the number of clips in the dataset.
        num_workers: processes that load clips, at least 0; 0 loads in the calling process.
        pin_memory: put batches in page-locked memory, for faster copies to a GPU.
        prefetch_batches: micro-batches that each worker prepares ahead, at least 1.
        start_method: start method of the workers; None is the platform's default.

    Raises:
        ArgumentError: a number is out of range, or the sampler was made for another number of clips.
    """
    if sampler.num_clips != len(dataset):
        raise ArgumentError(
            f"`sampler` was made for num_clips={sampler.num_clips}, but `dataset` has {len(dataset)} clips; make both "
            "from the same clips"
        )
    return _loader(dataset, sampler, num_workers, pin_memory, prefetch_batches, start_method, persistent=True)


def eval_loader(
    dataset: ClipDataset,
    batch_size: int,
    num_workers: int,
    rank: int = 0,
    num_ranks: int = 1,
    *,
    pin_memory: bool = False,
    prefetch_batches: int = 2,
    start_method: StartMethod | None = None,
) -> ClipLoader:
    """Every clip exactly once over all ranks, without padding: rank r has clips r, r + num_ranks, ...

    Ranks may have different numbers of batches, so a rank must not wait for another inside the loop.

    Args:
        dataset: clips without augmentation.
        batch_size: clips per batch, at least 1; the last batch of a rank may be smaller.
        num_workers: processes that load clips, at least 0; 0 loads in the calling process.
        rank: number of this process, 0 to num_ranks - 1.
        num_ranks: number of processes.
        pin_memory: put batches in page-locked memory, for faster copies to a GPU.
        prefetch_batches: batches that each worker prepares ahead, at least 1.
        start_method: start method of the workers; None is the platform's default.

    Raises:
        ArgumentError: a number is out of range, or the dataset is augmented.
    """
    if dataset.augmentation is not None:
        raise ArgumentError("`dataset` must not be augmented for evaluation; build it without `augmentation`")
    if batch_size < 1:
        raise ArgumentError(f"`batch_size` (={batch_size}) must be at least 1")
    if not 0 <= rank < num_ranks:
        raise ArgumentError(f"`rank` (={rank}) must be from 0 to num_ranks - 1 (={num_ranks - 1})")
    own = range(rank, len(dataset), num_ranks)
    batches = [[(0, index) for index in own[start : start + batch_size]] for start in range(0, len(own), batch_size)]
    return _loader(dataset, batches, num_workers, pin_memory, prefetch_batches, start_method, persistent=False)


def num_cpus() -> int:
    """Number of processors that this process may use; more workers than that slow each other down."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _loader(
    dataset: ClipDataset,
    batches: StepBatchSampler | Sequence[list[tuple[int, int]]],
    num_workers: int,
    pin_memory: bool,
    prefetch_batches: int,
    start_method: StartMethod | None,
    *,
    persistent: bool,
) -> ClipLoader:
    for name, value, low in (("num_workers", num_workers, 0), ("prefetch_batches", prefetch_batches, 1)):
        if value < low:
            raise ArgumentError(f"`{name}` (={value}) must be at least {low}")
    num_workers = min(num_workers, num_cpus())
    return ClipLoader(
        dataset,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=dataset.collate,
        pin_memory=pin_memory,
        worker_init_fn=begin_worker,
        multiprocessing_context=start_method if num_workers else None,
        # Without its own generator, the loader would draw from the global one and change the model's drop path.
        generator=torch.Generator(),
        prefetch_factor=prefetch_batches if num_workers else None,
        persistent_workers=persistent and num_workers > 0,
    )
