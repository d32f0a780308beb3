"""The initial classifier predicts the frequencies of the classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from audio_dcls.errors import ModelError
from audio_dcls.training.learning.class_prior import class_log_frequencies, class_log_odds, set_prior_bias


def test_log_odds_minimise_the_loss_of_constant_scores() -> None:
    rng = np.random.default_rng(0)
    labels = [tuple(np.flatnonzero(rng.random(6) < [0.05, 0.1, 0.2, 0.4, 0.6, 0.9])) for _ in range(4000)]
    targets = torch.zeros(len(labels), 6)
    for row, indices in enumerate(labels):
        targets[row, list(indices)] = 1
    scores = torch.from_numpy(class_log_odds(labels, 6)).float().requires_grad_()
    F.binary_cross_entropy_with_logits(scores.expand_as(targets), targets, reduction="sum").backward()
    assert (scores.grad / len(labels)).abs().max() < 1e-3  # the half clip added on both sides moves it by 1e-4


def test_log_frequencies_minimise_the_cross_entropy_of_constant_scores() -> None:
    classes = np.random.default_rng(0).choice(4, 3000, p=[0.1, 0.2, 0.3, 0.4])
    scores = torch.from_numpy(class_log_frequencies([(int(c),) for c in classes], 4)).requires_grad_()
    F.cross_entropy(scores.expand(3000, 4), torch.from_numpy(classes)).backward()
    assert scores.grad is not None and scores.grad.abs().max() < 1e-3  # the half label added moves it by 3e-4
    model = nn.Sequential(nn.Linear(2, 4))
    set_prior_bias(model, [(int(c),) for c in classes], 4, "softmax")
    torch.testing.assert_close(model[0].bias.detach(), scores.detach().float())


def test_a_class_without_clips_stays_finite() -> None:
    assert np.isfinite(class_log_odds([(0,), (0,)], 2)).all()


def test_it_sets_the_last_linear_layer_and_refuses_a_model_without_one() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    before = model[0].bias.clone()
    set_prior_bias(model, [(0,), (0,), (2,)], 3)
    assert torch.equal(model[0].bias, before)
    assert model[1].bias.argmax() == 0
    with pytest.raises(ModelError, match=r"loop\.prior_bias"):
        set_prior_bias(nn.Sequential(nn.Linear(4, 3, bias=False)), [(0,)], 3)
