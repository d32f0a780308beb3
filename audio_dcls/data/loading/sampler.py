"""The order of the clips: which clips each optimiser step takes, on each rank.

The order depends on (seed, epoch) alone, so a batch is the same with any number of workers, and step 1000 is the same
in a run that began at step 0 and in one that was resumed at step 999.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch.utils.data

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.loading.shard_order import ShardOrder
from audio_dcls.errors import ArgumentError


def epoch_permutation(num_clips: int, seed: int, epoch: int) -> np.ndarray:
    """Uniform shuffle of the indices of `num_clips` clips for one epoch, counted from 0: (num_clips,) int64.

    >>> sorted(epoch_permutation(4, seed=0, epoch=2).tolist())
    [0, 1, 2, 3]
    """
    return counted_rng(seed, epoch, stream="order").permutation(num_clips)


class StepBatchSampler(torch.utils.data.Sampler[list[tuple[int, int]]]):
    """Micro-batches of (epoch, clip index) for the steps of one run, on one rank.

    Step s takes the s-th slice of `batch_size` clips from the shuffle of its epoch; the clips left over at the end of
    an epoch (fewer than a batch) wait for the next shuffles. The slice is cut into consecutive micro-batches that are
    assigned to the ranks in turn: micro-batch j of the step goes to rank j % num_ranks. So the global batches depend
    only on (num_clips, batch_size, seed): not on the micro-batch size, the number of ranks or the first step.

    Args:
        num_clips: clips in the training set.
        batch_size: clips in one optimiser step, over all ranks and accumulated micro-batches.
        micro_batch_size: clips in one forward pass on one rank; `micro_batch_size * num_ranks` divides `batch_size`.
        seed: the run's seed.
        first_step: step to begin with, counted from 0 over the whole run.
        num_steps: number of steps.
        rank: number of this process, 0 to num_ranks - 1.
        num_ranks: number of processes.
        order: the shuffle of each epoch, for the same clips; None is the uniform `epoch_permutation`.

    Raises:
        ArgumentError: a number is out of range, `batch_size` is no multiple or exceeds the number of clips, or the
            order is for another number of clips.

    >>> [len(micro) for micro in StepBatchSampler(10, 4, 2, seed=0, first_step=0, num_steps=2)]
    [2, 2, 2, 2]
    """

    def __init__(
        self,
        num_clips: int,
        batch_size: int,
        micro_batch_size: int,
        seed: int,
        first_step: int,
        num_steps: int,
        rank: int = 0,
        num_ranks: int = 1,
        *,
        order: ShardOrder | None = None,
    ) -> None:
        for name, value, low in (
            ("num_clips", num_clips, 1),
            ("batch_size", batch_size, 1),
            ("micro_batch_size", micro_batch_size, 1),
            ("first_step", first_step, 0),
            ("num_steps", num_steps, 0),
            ("num_ranks", num_ranks, 1),
        ):
            if value < low:
                raise ArgumentError(f"`{name}` (={value}) must be at least {low}")
        if not 0 <= rank < num_ranks:
            raise ArgumentError(f"`rank` (={rank}) must be from 0 to num_ranks - 1 (={num_ranks - 1})")
        if batch_size % (micro_batch_size * num_ranks):
            raise ArgumentError(
                f"`batch_size` (={batch_size}) must be a multiple of micro_batch_size x num_ranks "
                f"(={micro_batch_size} x {num_ranks}); change the batch or the micro-batch"
            )
        if num_clips < batch_size:
            raise ArgumentError(
                f"`batch_size` (={batch_size}) must be at most the number of training clips (={num_clips}); lower it"
            )
        if order is not None and len(order.shards) != num_clips:
            raise ArgumentError(
                f"`order` is for {len(order.shards)} clips, `num_clips` is {num_clips}; make both from the same clips"
            )
        self.order = order
        self.num_clips = num_clips
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
        self.seed = seed
        self.first_step = first_step
        self.num_steps = num_steps
        self.rank = rank
        self.num_ranks = num_ranks

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch."""
        return self.num_clips // self.batch_size

    @property
    def micro_batches_per_step(self) -> int:
        """Micro-batches that this rank accumulates in one step."""
        return self.batch_size // (self.micro_batch_size * self.num_ranks)

    def micro_batch_start(self, micro_batch: int) -> int:
        """Place in the global batch of the first clip of this rank's n-th micro-batch of a step (n from 0)."""
        return (micro_batch * self.num_ranks + self.rank) * self.micro_batch_size

    def __len__(self) -> int:
        return self.num_steps * self.micro_batches_per_step

    def permutation(self, epoch: int) -> np.ndarray:
        """The order of one epoch's clips, (num_clips,) int64."""
        if self.order is not None:
            return self.order.permutation(self.seed, epoch)
        return epoch_permutation(self.num_clips, self.seed, epoch)

    def global_batch(self, step: int) -> list[tuple[int, int]]:
        """(epoch, clip index) of every clip of a step, over all ranks."""
        epoch, place = divmod(step, self.steps_per_epoch)
        indices = self.permutation(epoch)[place * self.batch_size : (place + 1) * self.batch_size]
        return [(epoch, index) for index in indices.tolist()]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order_epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.first_step, self.first_step + self.num_steps):
            epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order_epoch, order = epoch, self.permutation(epoch)
            for micro_batch in range(self.micro_batches_per_step):
                start = step_in_epoch * self.batch_size + self.micro_batch_start(micro_batch)
                yield [(epoch, index) for index in order[start : start + self.micro_batch_size].tolist()]
