"""Mixup and label smoothing: λ against scipy's Beta, partners inside groups, and layouts that give the same mixture."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import timm.data.mixup
import torch

from audio_dcls.data.augment.mixup import check_mixup_groups, draw_mixup, micro_batch_partners, mix, smooth_labels
from audio_dcls.errors import ArgumentError

SMALLEST_P_VALUE = 1e-4


@pytest.mark.parametrize("alpha", [0.2, 0.8, 2.0])
def test_weight_follows_the_beta_distribution(alpha):
    weights = [draw_mixup(2, alpha=alpha, seed=3, step=step, group_clips=2)[0] for step in range(2000)]
    assert scipy.stats.kstest(weights, scipy.stats.beta(alpha, alpha).cdf).pvalue > SMALLEST_P_VALUE


def test_partners_permute_each_group_uniformly():
    draws = torch.stack([draw_mixup(8, alpha=0.8, seed=0, step=step, group_clips=3)[1] for step in range(2400)])
    assert draws.dtype == torch.int64
    for start, stop in ((0, 3), (3, 6), (6, 8)):
        group = draws[:, start:stop]
        assert (group.sort(dim=1).values == torch.arange(start, stop)).all()
        _, counts = np.unique(group.numpy(), axis=0, return_counts=True)
        assert len(counts) == {3: 6, 2: 2}[stop - start]
        assert scipy.stats.chisquare(counts).pvalue > SMALLEST_P_VALUE


def test_draw_depends_on_seed_and_step_alone():
    first, again = (draw_mixup(64, alpha=0.8, seed=1, step=9, group_clips=16) for _ in range(2))
    assert first[0] == again[0] and torch.equal(first[1], again[1])
    assert draw_mixup(64, alpha=0.8, seed=1, step=10, group_clips=16)[0] != first[0]
    assert draw_mixup(64, alpha=0.8, seed=2, step=9, group_clips=16)[0] != first[0]


def test_alpha_zero_mixes_nothing():
    lam, partners = draw_mixup(5, alpha=0, seed=0, step=0, group_clips=4)
    assert lam == 1.0 and partners.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("micro_batch_size", [4, 8, 16])
def test_micro_batches_give_the_mixture_of_the_whole_batch(micro_batch_size):
    x = torch.randn(16, 3, dtype=torch.float64)
    lam, partners = draw_mixup(16, alpha=0.8, seed=0, step=1, group_clips=4)
    whole = mix(x, lam, partners)
    check_mixup_groups(16, micro_batch_size, 4)
    for start in range(0, 16, micro_batch_size):
        local = micro_batch_partners(partners, start, torch.arange(micro_batch_size))
        part = mix(x[start : start + micro_batch_size], lam, local)
        torch.testing.assert_close(part, whole[start : start + micro_batch_size], rtol=0, atol=0)


def test_a_clip_whose_partner_is_missing_stays_itself():
    partners = torch.tensor([1, 2, 3, 0, 5, 4, 7, 6])
    kept = torch.tensor([0, 1, 3])  # clips 4, 5 and 7 of the global batch; 6 could not be read
    assert micro_batch_partners(partners, 4, kept).tolist() == [1, 0, 2]
    assert micro_batch_partners(partners, 4, kept[:0]).tolist() == []


def test_mix_by_hand_and_in_any_shape():
    x = torch.arange(6.0).reshape(3, 1, 2)
    mixed = mix(x, 0.25, torch.tensor([2, 1, 0]))
    torch.testing.assert_close(mixed[0, 0], torch.tensor([0.25 * 0 + 0.75 * 4, 0.25 * 1 + 0.75 * 5]))
    torch.testing.assert_close(mixed[1], x[1])
    torch.testing.assert_close(mix(x, 1.0, torch.tensor([2, 1, 0])), x, rtol=0, atol=0)


def test_smoothing_keeps_timms_values_for_one_label():
    labels = torch.tensor([2, 0])
    smoothed = smooth_labels(torch.nn.functional.one_hot(labels, 5).float(), 0.1, 5)
    torch.testing.assert_close(smoothed, timm.data.mixup.mixup_target(labels, 5, lam=1.0, smoothing=0.1))


@pytest.mark.parametrize("smoothing", [-0.1, 1.1])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ArgumentError, match="`smoothing`"):
        smooth_labels(torch.ones(1, 2), smoothing, 2)


def test_groups_split_between_micro_batches_are_refused():
    check_mixup_groups(batch_size=24, micro_batch_size=24, group_clips=32)
    with pytest.raises(ArgumentError, match=r"`mixup_group_clips` \(=32\) must divide the micro-batch \(=24\)"):
        check_mixup_groups(batch_size=48, micro_batch_size=24, group_clips=32)
    with pytest.raises(ArgumentError, match="`alpha`"):
        draw_mixup(4, alpha=-1, seed=0, step=0, group_clips=2)
    with pytest.raises(ArgumentError, match="`group_clips`"):
        draw_mixup(4, alpha=1, seed=0, step=0, group_clips=0)
