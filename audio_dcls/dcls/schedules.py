"""Schedules over epochs: shrinking spreads, and the weight of the repulsive loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.errors import ArgumentError


@dataclass(frozen=True)
class SpreadSchedule:
    r"""Spreads that are not learned but shrink geometrically: wide elements find their place, narrow ones are delays.

    .. math:: \sigma_e = \sigma_0 (\sigma_1 / \sigma_0)^{\min(e / n, 1)}

    (thesis, chapter 4; there from half the kernel to 0.23 over the first quarter of the epochs). At the end of training
    `DclsConv.to_discrete` or `freeze(model, discrete=True)` rounds the positions.

    Args:
        initial_taps: first spread, above 0.
        num_epochs: length of the schedule, at least 1.
        final_taps: last spread, above 0 and at most the first.

    Raises:
        ArgumentError: a number breaks its rule.

    >>> schedule = SpreadSchedule(initial_taps=8.0, num_epochs=4, final_taps=0.5)
    >>> [schedule.spread_at(epoch) for epoch in (0, 1, 4, 9)]
    [8.0, 4.0, 0.5, 0.5]
    """

    initial_taps: float
    num_epochs: int
    final_taps: float = 0.23

    def __post_init__(self) -> None:
        if self.num_epochs < 1:
            raise ArgumentError(f"`num_epochs` (={self.num_epochs}) must be at least 1")
        if not 0 < self.final_taps <= self.initial_taps:
            raise ArgumentError(
                f"`final_taps` (={self.final_taps}) must be above 0 and at most `initial_taps` (={self.initial_taps})"
            )

    def spread_at(self, epoch: float) -> float:
        """The spread at an epoch, in taps, without the form's floor; epochs count from 0 and may be fractions."""
        done = min(max(epoch / self.num_epochs, 0.0), 1.0)
        return self.initial_taps * (self.final_taps / self.initial_taps) ** done

    def apply(self, model: nn.Module, epoch: float) -> float:
        """Set the spreads of every DCLS layer made with `learn_spreads=False`.

        Returns:
            The spread, in taps.

        Raises:
            ArgumentError: the model has no such layer.
        """
        spread = self.spread_at(epoch)
        layers = [layer for layer in dcls_layers(model).values() if layer.spreads is not None]
        scheduled = [layer for layer in layers if not isinstance(layer.spreads, nn.Parameter)]
        if not scheduled:
            raise ArgumentError("`model` has no spreads to schedule; make its DCLS layers with learn_spreads=False")
        with torch.no_grad():
            for layer in scheduled:
                if layer.spreads is not None:
                    layer.spreads.fill_(spread)
        return spread


@dataclass(frozen=True)
class RepulsionSchedule:
    """Weight of `repulsive_loss` over epochs: constant, then half a cosine down to 0, so elements may meet at the end.

    Args:
        weight: initial factor of the loss, at least 0.
        end_epoch: epoch from which the weight is 0; above `decay_epoch`.
        decay_epoch: epoch at which the weight starts to fall, at least 0.

    Raises:
        ArgumentError: a number breaks its rule.

    >>> schedule = RepulsionSchedule(weight=0.1, end_epoch=30, decay_epoch=10)
    >>> [round(schedule.weight_at(epoch), 3) for epoch in (0, 10, 20, 30)]
    [0.1, 0.1, 0.05, 0.0]
    """

    weight: float
    end_epoch: float
    decay_epoch: float = 0.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ArgumentError(f"`weight` (={self.weight}) must be at least 0")
        if not 0 <= self.decay_epoch < self.end_epoch:
            raise ArgumentError(
                f"`decay_epoch` (={self.decay_epoch}) must be at least 0 and below `end_epoch` (={self.end_epoch})"
            )

    def weight_at(self, epoch: float) -> float:
        """The weight at an epoch; epochs count from 0 and may be fractions."""
        done = (epoch - self.decay_epoch) / (self.end_epoch - self.decay_epoch)
        return self.weight * 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))
