"""One optimiser step: augmentation on the device, loss, accumulation.

Axis legend: B clips of a micro-batch, C classes, T samples, N frequency bins, F frames.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_dcls.data.augment import AugmentConfig
from audio_dcls.data.augment.mixup import draw_mixup, micro_batch_partners, mix, smooth_labels
from audio_dcls.data.augment.spectrogram import erase_boxes, mask_mel
from audio_dcls.data.check import ClipProblem
from audio_dcls.data.clips import Batch


@dataclass(frozen=True)
class StepResult:
    """What one step did."""

    loss: Tensor
    """Scalar, mean over the clips of the step."""
    gradient_norm: Tensor
    num_clips: int
    failures: tuple[ClipProblem, ...]


class StepRunner:
    """Forward, backward and optimiser step over the micro-batches of one global batch.

    Args:
        fabric: Lightning Fabric, for devices, precision and backward.
        model: the tagger, set up by the fabric.
        optimizer: set up by the fabric.
        augment: spectrogram augmentation, mixup and label smoothing.
        effective_batch: clips per step.
        per_device_batch: clips per micro-batch.
        clip_gradient_norm: largest global gradient norm, or None.
        seed: seed of the run.
    """

    def __init__(
        self,
        fabric: Any,
        model: Any,
        optimizer: Any,
        *,
        augment: AugmentConfig,
        effective_batch: int,
        per_device_batch: int,
        clip_gradient_norm: float | None,
        seed: int,
    ) -> None:
        self.fabric = fabric
        self.model = model
        self.optimizer = optimizer
        self.augment = augment
        self.effective_batch = effective_batch
        self.per_device_batch = per_device_batch
        self.clip_gradient_norm = clip_gradient_norm
        self.seed = seed

    def run(self, step: int, batches: Iterator[Batch]) -> StepResult:
        """Do one step.

        The random parts of the model (drop path, dropout) draw from a generator seeded by (seed, step), so a resumed
        run draws what an uninterrupted one would have.

        Args:
            step: index of the step, counted from 0 over the whole run.
            batches: an iterator at the first micro-batch of this step.

        Returns:
            The step's loss and counts; a step whose every clip failed changes nothing and has loss NaN.
        """
        num_micro = self.effective_batch // self.per_device_batch
        losses, failures, num_clips = [], [], 0
        with torch.random.fork_rng():
            torch.manual_seed((self.seed << 40) + step)
            for micro in range(num_micro):
                batch = next(batches)
                failures.extend(batch.failures)
                if len(batch.indices) == 0:
                    continue
                share = len(batch.indices) / self.effective_batch
                loss = self._loss(step, micro, batch)
                with self.fabric.no_backward_sync(self.model, enabled=micro < num_micro - 1):
                    self.fabric.backward(loss * share)
                losses.append(loss.detach() * len(batch.indices))
                num_clips += len(batch.indices)
        if num_clips == 0:
            nan = torch.full((), torch.nan)
            return StepResult(nan, nan, 0, tuple(failures))
        gradient_norm = torch.nn.utils.clip_grad_norm_(
            self.model.parameters(), self.clip_gradient_norm or float("inf"), foreach=True
        )
        self.optimizer.step()
        self.optimizer.zero_grad()
        return StepResult(torch.stack(losses).sum() / num_clips, gradient_norm, num_clips, tuple(failures))

    def _loss(self, step: int, micro: int, batch: Batch) -> Tensor:
        batch = batch.to(self.fabric.device)
        targets = smooth_labels(batch.targets, self.augment.label_smoothing, batch.targets.shape[1])
        lam, partners = draw_mixup(
            self.effective_batch,
            alpha=self.augment.mixup_alpha,
            seed=self.seed,
            step=step,
            group_clips=self.augment.mixup_group_clips,
        )
        partners = micro_batch_partners(partners, micro * self.per_device_batch, batch.slots.cpu())
        mixes = self.augment.mixup_alpha > 0
        if mixes:
            targets = mix(targets, lam, partners)

        def on_mel(mel: Tensor) -> Tensor:
            masked = mask_mel(mel, batch.mask_boxes) if self.augment.mask_keywords() else mel
            return mix(masked, lam, partners) if mixes else masked

        erases = self.augment.erase_probability > 0
        on_power = functools.partial(erase_boxes, boxes=batch.erase_boxes) if erases else None
        logits = self.model(batch.waveforms, on_power=on_power, on_mel=on_mel)
        return F.binary_cross_entropy_with_logits(logits.float(), targets)
