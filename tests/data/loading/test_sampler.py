"""Counted generators, uniform shuffles, and batches that do not depend on the layout or the first step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.loading.sampler import StepBatchSampler, epoch_permutation
from audio_dcls.errors import ArgumentError

# A test with fixed seeds fails or passes for good; 1e-4 leaves no doubt which.
SMALLEST_P_VALUE = 1e-4


def global_batches(
    num_ranks: int, micro_batch_size: int, first_step: int = 0, num_steps: int = 7
) -> list[list[tuple[int, int] | None]]:
    """Put the micro-batches of all ranks back into global batches, by the places the sampler states."""
    samplers = [
        StepBatchSampler(53, 16, micro_batch_size, 5, first_step, num_steps, rank, num_ranks)
        for rank in range(num_ranks)
    ]
    batches: list[list[tuple[int, int] | None]] = [[None] * 16 for _ in range(num_steps)]
    for sampler in samplers:
        micro_batches = list(sampler)
        assert len(sampler) == len(micro_batches)
        for number, micro_batch in enumerate(micro_batches):
            step, micro = divmod(number, sampler.micro_batches_per_step)
            start = sampler.micro_batch_start(micro)
            batches[step][start : start + len(micro_batch)] = micro_batch
    return batches


def test_generators_with_different_names_differ_and_equal_names_agree():
    names = [
        (0, (), "a"),
        (0, (0,), "a"),
        (0, (0, 0), "a"),
        (0, (1,), "a"),
        (1, (0,), "a"),
        (0, (0,), "b"),
        (0, (2**32,), "a"),
    ]
    names += [(0, (1, 0), "a"), (0, (10,), "a"), (-1, (0,), "a")]
    draws = [counted_rng(seed, *counters, stream=stream).random() for seed, counters, stream in names]
    assert len(set(draws)) == len(names)
    assert draws == [counted_rng(seed, *counters, stream=stream).random() for seed, counters, stream in names]
    one, zero = np.array([1, 0])
    assert counted_rng(one, zero, stream="a").random() == draws[4]


def test_first_draws_over_neighbouring_names_are_uniform_and_uncorrelated():
    draws = np.array(
        [[counted_rng(0, epoch, clip, stream="waveform").random() for clip in range(60)] for epoch in range(60)]
    )
    assert scipy.stats.kstest(draws.ravel(), "uniform").pvalue > SMALLEST_P_VALUE
    for neighbours in (draws[1:] * draws[:-1], draws[:, 1:] * draws[:, :-1]):
        assert abs(neighbours.mean() - 0.25) < 5 * neighbours.std() / np.sqrt(neighbours.size)


def test_counted_rng_refuses_counters_that_are_not_integers():
    with pytest.raises(TypeError):
        counted_rng(0, 1.5, stream="a")  # pyright: ignore[reportArgumentType]


def test_shuffle_is_uniform_over_all_permutations():
    orders = [tuple(epoch_permutation(4, seed=1, epoch=epoch)) for epoch in range(4800)]
    counts = [orders.count(order) for order in itertools.permutations(range(4))]
    assert sum(counts) == 4800
    assert scipy.stats.chisquare(counts).pvalue > SMALLEST_P_VALUE


def test_each_epoch_holds_a_clip_once_at_most_and_leaves_out_less_than_a_batch():
    items = [item for micro_batch in StepBatchSampler(53, 16, 8, 5, 0, 6) for item in micro_batch]
    assert [epoch for epoch, _ in items] == [0] * 48 + [1] * 48
    assert len({index for epoch, index in items if epoch == 1}) == 48
    assert items[:48] == [(0, index) for index in epoch_permutation(53, 5, 0)[:48]]


@pytest.mark.parametrize(("num_ranks", "micro_batch_size"), [(1, 4), (1, 1), (2, 8), (2, 2), (4, 4), (8, 1)])
def test_global_batches_do_not_depend_on_the_layout(num_ranks, micro_batch_size):
    assert global_batches(num_ranks, micro_batch_size) == global_batches(1, 16)


def test_resuming_at_any_step_continues_the_same_sequence():
    whole = list(StepBatchSampler(53, 16, 8, 5, 0, 9, rank=0, num_ranks=2))
    for first_step in range(9):
        assert list(StepBatchSampler(53, 16, 8, 5, first_step, 9 - first_step, 0, 2)) == whole[first_step:]


def test_a_sampler_can_be_iterated_twice():
    sampler = StepBatchSampler(10, 4, 2, 0, 0, 5)
    assert list(sampler) == list(sampler)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_clips": 15}, r"`batch_size` \(=16\) must be at most the number of training clips \(=15\)"),
        ({"micro_batch_size": 5}, r"must be a multiple of micro_batch_size x num_ranks \(=5 x 1\)"),
        ({"num_ranks": 3, "micro_batch_size": 8}, r"\(=8 x 3\)"),
        ({"rank": 1}, r"`rank` \(=1\)"),
        ({"first_step": -1}, r"`first_step` \(=-1\) must be at least 0"),
        ({"micro_batch_size": 0}, r"`micro_batch_size` \(=0\) must be at least 1"),
    ],
)
def test_bad_layouts_are_refused_by_name(changes, message):
    arguments = {"num_clips": 53, "batch_size": 16, "micro_batch_size": 4, "seed": 0, "first_step": 0, "num_steps": 3}
    with pytest.raises(ArgumentError, match=message):
        StepBatchSampler(**{**arguments, **changes})
