"""Losses of logits against soft targets.

Axis legend: B clips, C classes.

Logits and targets are (B, C), and targets are 0 to 1; the loss is a scalar, or with `per_clip` one per clip, (B,).
Every loss is linear in its targets: the loss of a mixed target (mixup, smoothing) is the mixture of the losses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_dcls.errors import ArgumentError
from audio_dcls.runs.config import LossConfig

Loss = Callable[..., Tensor]
"""(logits (B, C), targets (B, C)) to the mean loss, or with `per_clip=True` to the loss per clip, (B,)."""

_SMALLEST_PROBABILITY = 1e-8


def binary_cross_entropy(logits: Tensor, targets: Tensor, *, per_clip: bool = False) -> Tensor:
    """Binary cross-entropy of a sigmoid, mean over clips and classes.

    >>> binary_cross_entropy(torch.zeros(2, 3), torch.tensor([[0.0, 1.0, 0.5]] * 2))
    tensor(0.6931)
    """
    if not per_clip:
        return F.binary_cross_entropy_with_logits(logits, targets)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)


def focal_loss(
    logits: Tensor, targets: Tensor, *, gamma: float = 2.0, alpha: float | None = None, per_clip: bool = False
) -> Tensor:
    """Focal loss of a sigmoid p, mean over clips and classes: easy examples have less weight.

    - α y (1 − p)^γ log p − (1 − α) (1 − y) p^γ log(1 − p) (Lin et al., 2017, arXiv 1708.02002, equations 4 and 5).
    With γ = 0 it is binary cross-entropy; without α, positives and negatives both have weight 1.
    Raises `ArgumentError` if `gamma` or `alpha` is out of range.

    >>> focal_loss(torch.zeros(1, 1), torch.ones(1, 1), gamma=2.0)
    tensor(0.1733)
    """
    if gamma < 0:
        raise ArgumentError(f"`gamma` (={gamma}) must be at least 0")
    if alpha is not None and not 0 <= alpha <= 1:
        raise ArgumentError(f"`alpha` (={alpha}) must be from 0 to 1, or None")
    weights = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    positive = -weights[0] * targets * (gamma * log_not_p).exp() * log_p
    negative = -weights[1] * (1.0 - targets) * (gamma * log_p).exp() * log_not_p
    return _reduce(positive + negative, per_clip)


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float = 0.05,
    per_clip: bool = False,
) -> Tensor:
    """Asymmetric loss of a sigmoid p, mean over clips and classes: easy negatives have less or no weight.

    - y (1 − p)^γ₊ log p − (1 − y) q^γ₋ log(1 − q), with q = max(p − m, 0)
    (Ridnik et al., 2021, arXiv 2009.14119, equations 5 to 7). `clip` is m: negatives with p < m have no loss. Raises
    `ArgumentError` if a number is out of range.

    >>> asymmetric_loss(torch.tensor([[-5.0]]), torch.zeros(1, 1))
    tensor(0.)
    """
    for name, value in (("gamma_neg", gamma_neg), ("gamma_pos", gamma_pos)):
        if value < 0:
            raise ArgumentError(f"`{name}` (={value}) must be at least 0")
    if not 0 <= clip < 1:
        raise ArgumentError(f"`clip` (={clip}) must be at least 0 and below 1")
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    positive = -targets * (gamma_pos * log_not_p).exp() * log_p
    if clip > 0:
        shifted = logits.sigmoid() - clip
        # A power below 1 has an infinite slope at 0, which would give NaN gradients in spite of `where`.
        kept = shifted.clamp(min=_SMALLEST_PROBABILITY)
        cost = torch.where(shifted > 0, -kept.pow(gamma_neg) * (-kept).log1p(), 0.0)
    else:
        cost = -(gamma_neg * log_p).exp() * log_not_p
    return _reduce(positive + (1.0 - targets) * cost, per_clip)


def cross_entropy(logits: Tensor, targets: Tensor, *, per_clip: bool = False) -> Tensor:
    """Cross-entropy of a softmax, mean over clips; each row of the targets is a distribution.

    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([[0.0, 1.0, 0.0, 0.0]]))
    tensor(1.3863)
    """
    return F.cross_entropy(logits, targets, reduction="none" if per_clip else "mean")


def build_loss(config: LossConfig) -> Loss:
    """The loss that a config names, with its parameters."""
    match config.name:
        case "focal":
            return functools.partial(focal_loss, gamma=config.focal_gamma, alpha=config.focal_alpha)
        case "asl":
            return functools.partial(
                asymmetric_loss, gamma_neg=config.asl_gamma_neg, gamma_pos=config.asl_gamma_pos, clip=config.asl_clip
            )
        case "cross_entropy":
            return cross_entropy
        case _:
            return binary_cross_entropy


def _reduce(losses: Tensor, per_clip: bool) -> Tensor:
    return losses.mean(1) if per_clip else losses.mean()
