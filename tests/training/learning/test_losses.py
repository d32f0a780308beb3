"""Losses against torch's, torchvision's and timm's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.loss import AsymmetricLossMultiLabel
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from audio_dcls.data.augment.mixup import smooth_labels
from audio_dcls.errors import ArgumentError, ConfigError
from audio_dcls.runs.config import LossConfig, TrainConfig
from audio_dcls.settings import build
from audio_dcls.training.learning.losses import (
    asymmetric_loss,
    binary_cross_entropy,
    build_loss,
    cross_entropy,
    focal_loss,
)

NAMES = ("bce", "focal", "asl", "cross_entropy")


def draw(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, hard targets and soft ones."""
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(7, 5, generator=generator, dtype=dtype)
    hard = (torch.rand(7, 5, generator=generator) < 0.3).to(dtype)
    return logits, hard, torch.rand(7, 5, generator=generator, dtype=dtype)


def test_the_default_is_torchs_binary_cross_entropy_bit_for_bit() -> None:
    logits, hard, soft = draw(torch.float32)
    loss = build_loss(LossConfig())
    for targets in (hard, soft):
        ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        value, expected = loss(ours, targets), F.binary_cross_entropy_with_logits(theirs, targets)
        value.backward()
        expected.backward()
        assert torch.equal(value, expected)
        assert ours.grad is not None and theirs.grad is not None and torch.equal(ours.grad, theirs.grad)


def test_smoothing_by_0_leaves_labels_as_they_are() -> None:
    _, hard, _ = draw(torch.float32)
    assert torch.equal(smooth_labels(hard, 0.0, 5), hard)
    assert build(TrainConfig, {"augment": {"label_smoothing": 0}}, "test").augment.label_smoothing == 0


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 3.7])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal_loss_is_torchvisions(gamma: float, alpha: float | None) -> None:
    logits, hard, _ = draw()
    expected = sigmoid_focal_loss(logits, hard, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean")
    torch.testing.assert_close(focal_loss(logits, hard, gamma=gamma, alpha=alpha), expected)


@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), [(4, 1, 0.05), (2, 0, 0.2), (3, 3, 0.0), (0, 0, 0.0)])
def test_asymmetric_loss_is_timms(gamma_neg: float, gamma_pos: float, clip: float) -> None:
    logits, hard, _ = draw()
    theirs = AsymmetricLossMultiLabel(gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)  # type: ignore[arg-type]
    pairs = zip(logits.reshape(-1, 1, 1), hard.reshape(-1, 1, 1), strict=True)
    expected = torch.stack([theirs(x, y) for x, y in pairs]).mean()  # versions differ in what they divide a sum by
    ours = asymmetric_loss(logits, hard, gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)
    torch.testing.assert_close(ours.float(), expected, rtol=1e-5, atol=0)  # timm computes in float32


def test_cross_entropy_and_its_smoothing_are_torchs() -> None:
    logits, _, soft = draw()
    distributions = soft / soft.sum(1, keepdim=True)
    torch.testing.assert_close(cross_entropy(logits, distributions), F.cross_entropy(logits, distributions))
    classes = torch.arange(7) % 5
    one_hot = F.one_hot(classes, 5).double()
    smoothed = cross_entropy(logits, smooth_labels(one_hot, 0.1, 5))
    torch.testing.assert_close(smoothed, F.cross_entropy(logits, classes, label_smoothing=0.1))


@pytest.mark.parametrize("name", NAMES)
def test_a_mixed_target_costs_the_mixture_of_its_parts(name: str) -> None:
    logits, hard, soft = draw()
    loss = build_loss(LossConfig(name=name))  # type: ignore[arg-type]
    mixed = loss(logits, 0.3 * hard + 0.7 * soft)
    torch.testing.assert_close(mixed, 0.3 * loss(logits, hard) + 0.7 * loss(logits, soft))


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_of_each_clips_loss_is_the_loss(name: str) -> None:
    logits, _, soft = draw()
    loss = build_loss(LossConfig(name=name))  # type: ignore[arg-type]
    each = loss(logits, soft, per_clip=True)
    assert each.shape == (7,)
    torch.testing.assert_close(each.mean(), loss(logits, soft))
    torch.testing.assert_close(each[2], loss(logits[2:3], soft[2:3]))


@pytest.mark.parametrize(
    "values",
    [
        {"name": "bce"},
        {"name": "focal", "focal_gamma": 1.5, "focal_alpha": 0.3},
        {"name": "asl"},
        {"name": "asl", "asl_gamma_neg": 0.5, "asl_clip": 0.1},
        {"name": "asl", "asl_clip": 0.0},
        {"name": "cross_entropy"},
    ],
)
def test_gradients(values: dict[str, Any]) -> None:
    logits, _, soft = draw()
    loss = build_loss(LossConfig(**values))
    assert torch.autograd.gradcheck(lambda x: loss(x, soft), logits.requires_grad_())


@pytest.mark.parametrize(("loss", "keywords"), [(focal_loss, {"gamma": 0.5}), (asymmetric_loss, {"gamma_neg": 0.5})])
@pytest.mark.parametrize("level", [-200.0, 200.0])
def test_certain_logits_have_a_finite_gradient(loss: Any, keywords: dict[str, float], level: float) -> None:
    logits = torch.full((2, 3), level, requires_grad=True)
    loss(logits, torch.tensor([[0.0, 1.0, 0.4]] * 2), **keywords).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_numbers_out_of_range_are_refused() -> None:
    zeros = torch.zeros(1, 1)
    for call, name in (
        (lambda: focal_loss(zeros, zeros, gamma=-1), "gamma"),
        (lambda: focal_loss(zeros, zeros, alpha=2), "alpha"),
        (lambda: asymmetric_loss(zeros, zeros, gamma_neg=-1), "gamma_neg"),
        (lambda: asymmetric_loss(zeros, zeros, clip=1), "clip"),
    ):
        with pytest.raises(ArgumentError, match=f"`{name}`"):
            call()
    with pytest.raises(ConfigError, match=r"loss\.name"):
        build(TrainConfig, {"loss": {"name": "hinge"}}, "test")
    assert binary_cross_entropy(zeros, zeros) > 0
