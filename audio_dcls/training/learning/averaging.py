"""Averages of the weights over the training, evaluated and stored instead of the last weights."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel

from audio_dcls.runs.config import AveragingConfig


def warmed_decay(decay: float, num_averaged: int) -> float:
    """Decay of an exponential average after `num_averaged` steps.

    >>> warmed_decay(0.9998, 0), warmed_decay(0.9998, 90), warmed_decay(0.9998, 10**6)
    (0.1, 0.91, 0.9998)
    """
    return min(decay, (1 + num_averaged) / (10 + num_averaged))


class WeightAverage:
    """An average of a model's weights, as a model.

    Each parameter and buffer is averaged once per step, even if several layers share it. In a state dict a shared
    tensor has one name per layer, so averaging by name would average it 3 to 12 times too fast. The average starts as a
    copy of the model.
    """

    def __init__(self, model: nn.Module, config: AveragingConfig, *, steps_per_epoch: int, num_steps: int) -> None:
        self.config, self.steps_per_epoch, self.num_steps = config, steps_per_epoch, num_steps
        first_epoch = int(config.start * num_steps / steps_per_epoch) + 1
        self.first_averaged = min(first_epoch * steps_per_epoch, num_steps) if config.method == "swa" else 1
        self.averaged = AveragedModel(model, multi_avg_fn=self._average, use_buffers=True)
        self.averaged.requires_grad_(False)
        self.averaged.eval()

    @property
    def model(self) -> nn.Module:
        """The averaged model; before a plain average starts, a copy of the trained one."""
        return self.averaged.module

    @property
    def num_averaged(self) -> int:
        """Number of sets of weights in the average."""
        return int(self.averaged.n_averaged)

    @num_averaged.setter
    def num_averaged(self, value: int) -> None:
        self.averaged.n_averaged.fill_(value)

    def update(self, model: nn.Module, num_done: int) -> None:
        """Add the weights after `num_done` steps of the run to the average, if they belong there."""
        if num_done <= self.first_averaged:
            self.num_averaged = 0  # so that the weights are copied
        elif self.config.method == "swa" and num_done % self.steps_per_epoch and num_done != self.num_steps:
            return
        self.averaged.update_parameters(model)

    def _average(self, averaged: Any, current: Any, num_averaged: Any) -> None:
        count = int(num_averaged)
        decay = warmed_decay(self.config.decay, count) if self.config.method == "ema" else count / (count + 1)
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)
