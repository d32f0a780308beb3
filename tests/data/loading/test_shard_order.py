"""Shard-wise epochs: each clip once, near its shard, the same for any ranks and steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies

from audio_dcls.data.loading.sampler import StepBatchSampler, epoch_permutation
from audio_dcls.data.loading.shard_order import ShardOrder, shards_of
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError

sizes = strategies.lists(strategies.integers(1, 12), min_size=1, max_size=8)


@given(sizes, strategies.integers(1, 30), strategies.integers(0, 9))
def test_every_clip_once_and_none_far_from_its_shard(sizes, buffer_clips, epoch):
    shards = np.repeat(np.arange(len(sizes)), sizes)
    order = ShardOrder(shards, buffer_clips).permutation(3, epoch)
    assert sorted(order.tolist()) == list(range(len(shards)))
    for shard, size in enumerate(sizes):
        places = np.flatnonzero(shards[order] == shard)
        assert places.max() - places.min() < size + 2 * buffer_clips


def test_a_buffer_of_one_keeps_shards_together_and_shuffles_both():
    shards = np.repeat(np.arange(5), 4)
    orders = [ShardOrder(shards, 1).permutation(0, epoch) for epoch in range(40)]
    for order in orders:
        assert all(len(set(group)) == 1 for group in shards[order].reshape(5, 4).tolist())
    assert len({tuple(shards[order][::4]) for order in orders}) > 30  # of 120 orders of the shards
    assert len({tuple(order[order < 4]) for order in orders}) > 15  # of 24 orders of the first shard's clips


def test_a_large_buffer_is_close_to_a_uniform_shuffle():
    """With a buffer far larger than the epoch, neighbours of a shard are no more often together than by chance."""
    shards = np.repeat(np.arange(10), 10)
    pairs = [
        np.mean(shards[order[1:]] == shards[order[:-1]])
        for order in (ShardOrder(shards, 10_000).permutation(0, epoch) for epoch in range(200))
    ]
    assert np.mean(pairs) == pytest.approx(9 / 99, abs=0.01)  # standard error 0.002


def test_few_shards_at_a_time():
    shards = np.repeat(np.arange(100), 50)
    order = ShardOrder(shards, 200).permutation(1, 0)
    windows = [len(set(shards[order[first : first + 100]].tolist())) for first in range(0, 4900, 100)]
    assert max(windows) <= (100 + 2 * 200) / 50 + 2
    uniform = epoch_permutation(5000, 1, 0)
    assert len(set(shards[uniform[:100]].tolist())) > 50


def test_global_batches_depend_on_neither_ranks_nor_the_first_step():
    order = ShardOrder(np.arange(53) // 7, 10)

    def global_batches(micro: int, num_ranks: int, first_step: int = 0) -> list[list[tuple[int, int]]]:
        ranks = [
            list(StepBatchSampler(53, 16, micro, 5, first_step, 9 - first_step, rank, num_ranks, order=order))
            for rank in range(num_ranks)
        ]
        dealt = [item for turn in zip(*ranks, strict=True) for micro_batch in turn for item in micro_batch]
        return [dealt[first : first + 16] for first in range(0, len(dealt), 16)]

    whole = global_batches(16, 1)
    for micro, num_ranks in ((8, 2), (4, 2), (2, 4), (4, 4)):
        assert global_batches(micro, num_ranks) == whole
    assert global_batches(4, 2, first_step=4) == whole[4:]
    sampler = StepBatchSampler(53, 16, 4, 5, 0, 9, order=order)
    assert [sampler.global_batch(step) for step in range(9)] == whole
    uniform = StepBatchSampler(53, 16, 16, 5, 0, 9)
    assert [sampler.global_batch(0), list(uniform)[4]] != [uniform.global_batch(0), uniform.global_batch(3)]
    assert list(uniform) == [uniform.global_batch(step) for step in range(9)]


def test_clips_of_a_file_share_a_shard():
    clips = [Clip(str(index), f"{index // 3}.parquet", None, None, (0,), "train", row=index % 3) for index in range(8)]
    assert shards_of(ClipTable.from_clips(clips)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_mistakes():
    with pytest.raises(ArgumentError, match="buffer_clips"):
        ShardOrder(np.zeros(3, dtype=int), 0)
    with pytest.raises(ArgumentError, match="for 3 clips, `num_clips` is 4"):
        StepBatchSampler(4, 2, 2, 0, 0, 1, order=ShardOrder(np.zeros(3, dtype=int), 2))
