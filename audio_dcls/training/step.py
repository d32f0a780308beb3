"""One optimiser step: augmentation on the device, loss, accumulation, and the sum over processes.

Axis legend: B clips of a micro-batch, C classes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.audit.problems import ClipProblem
from audio_dcls.data.augment.augmentation import Augmentation
from audio_dcls.data.augment.mixup import MixupConfig, draw_mixup, micro_batch_partners, mix, smooth_labels
from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.data.loading.samples import Batch
from audio_dcls.models.layers.drop_path import set_drop_path_draws, use_counted_drop_path
from audio_dcls.training.distributed.processes import sum_over_processes
from audio_dcls.training.learning.distillation import Distillation
from audio_dcls.training.learning.frozen_backbone import BackboneFreeze
from audio_dcls.training.learning.losses import Loss, binary_cross_entropy


@dataclass(frozen=True)
class StepResult:
    """Result of one step, over all processes."""

    loss: float
    """Mean over the clips of the step."""
    gradient_norm: float
    num_clips: int
    is_applied: bool
    """Whether the weights changed; they do not if loss or gradient is not finite, or no clip could be read."""
    data_wait_s: float
    """Seconds this process waited for clips."""
    failures: tuple[ClipProblem, ...]
    """Clips of this process that could not be read."""

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are finite, or there was no clip to compute them from."""
        return self.is_applied or self.num_clips == 0


@dataclass(eq=False)
class StepRunner:
    """Forward, backward and optimiser step over the micro-batches of one global batch.

    The result does not depend on how the batch is split into micro-batches and processes, except for batch norm within
    a micro-batch: mixup and drop path are drawn for places in the global batch.
    """

    fabric: Any
    model: Any
    """The tagger; it and the optimiser are set up by the fabric."""
    optimizer: Any
    _: KW_ONLY
    sampler: StepBatchSampler
    """Splits the global batch over micro-batches and processes."""
    mixup: MixupConfig
    """Also has the label smoothing."""
    clip_gradient_norm: float | None
    seed: int
    augmentation: Augmentation | None = None
    """Applies the draws of the training clips to their spectrograms."""
    loss: Loss = binary_cross_entropy
    freeze: BackboneFreeze | None = None
    distillation: Distillation | None = None
    """Replaces `loss` if there is a teacher."""

    def __post_init__(self) -> None:
        self.num_drop_paths = use_counted_drop_path(self.model)
        self.norms = [module for module in self.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def run(self, step: int, batches: Iterator[Batch]) -> StepResult:
        """Do one step, counted from 0 over the whole run; `batches` is at the first micro-batch of the step.

        The random parts of the model depend on (seed, step, place in the batch), so a resumed run draws the same
        numbers as an uninterrupted one.
        """
        if self.freeze is not None:
            self.freeze.apply(step)
        norm_buffers = [(buffer, buffer.clone()) for norm in self.norms for buffer in norm.buffers()]
        failures: list[ClipProblem] = []
        totals = torch.zeros(2, dtype=torch.float64)
        waited_s, num_micro = 0.0, self.sampler.micro_batches_per_step
        with torch.random.fork_rng():
            for micro in range(num_micro):
                started_s = time.perf_counter()
                batch = next(batches)
                waited_s += time.perf_counter() - started_s
                failures.extend(batch.failures)
                totals += self._accumulate(step, micro, batch, is_last=micro == num_micro - 1)
        loss_sum, num_clips = sum_over_processes(self.fabric, totals.to(self.fabric.device, torch.float32)).tolist()
        if num_clips == 0:
            self.optimizer.zero_grad()
            return StepResult(torch.nan, torch.nan, 0, False, waited_s, tuple(failures))
        if self.freeze is not None:
            self.freeze.drop_gradients(step)
        gradient_norm = torch.nn.utils.clip_grad_norm_(
            self.model.parameters(), self.clip_gradient_norm or float("inf"), foreach=True
        )
        norm = float(gradient_norm)
        is_applied = bool(torch.tensor([loss_sum, norm]).isfinite().all())
        if is_applied:
            self.optimizer.step()
        else:
            for buffer, value in norm_buffers:
                buffer.copy_(value)
        self.optimizer.zero_grad()
        return StepResult(loss_sum / num_clips, norm, round(num_clips), is_applied, waited_s, tuple(failures))

    def _accumulate(self, step: int, micro: int, batch: Batch, *, is_last: bool) -> Tensor:
        """Add the gradient of one micro-batch; return its summed loss and number of clips, (2,)."""
        num_clips = len(batch)
        if num_clips == 0:
            if not is_last or self.fabric.world_size == 1:
                return torch.zeros(2, dtype=torch.float64)
            batch = _silent_batch(batch)  # every process must take part in the last backward pass
        loss = self._loss(step, micro, batch)
        # Gradients are averaged over processes and summed over micro-batches: both must be weighted by clips.
        share = num_clips / self.sampler.batch_size * self.fabric.world_size
        with self.fabric.no_backward_sync(self.model, enabled=not is_last):
            self.fabric.backward(loss * share)
        return torch.tensor([float(loss.detach()) * num_clips if num_clips else 0.0, num_clips], dtype=torch.float64)

    def _loss(self, step: int, micro: int, batch: Batch) -> Tensor:
        start, slots, indices = self.sampler.micro_batch_start(micro), batch.slots, batch.indices
        batch = batch.to(self.fabric.device)
        targets = smooth_labels(batch.targets, self.mixup.label_smoothing, batch.targets.shape[1])
        lam, partners = draw_mixup(
            self.sampler.batch_size,
            alpha=self.mixup.mixup_alpha,
            seed=self.seed,
            step=step,
            group_clips=self.mixup.mixup_group_clips,
        )
        partners = micro_batch_partners(partners, start, slots)
        mixes = self.mixup.mixup_alpha > 0
        mixes_mel = mixes and self.mixup.mixup_on == "spectrogram"
        waveforms = batch.waveforms
        if mixes:
            targets = mix(targets, lam, partners)
            waveforms = waveforms if mixes_mel else mix(waveforms, lam, partners)

        augmentation = self.augmentation or Augmentation(self.seed)
        on_power, change_mel = (augmentation.at_stage(stage, batch.draws) for stage in ("power", "mel"))

        def on_mel(mel: Tensor) -> Tensor:
            changed = mel if change_mel is None else change_mel(mel)
            return mix(changed, lam, partners) if mixes_mel else changed

        self._seed_model(step, start, slots)
        logits = self.model(waveforms, on_power=on_power, on_mel=on_mel)
        if self.distillation is not None:
            return self.distillation(logits.float(), targets, indices, lam, partners)
        return self.loss(logits.float(), targets)

    def _seed_model(self, step: int, start: int, slots: Tensor) -> None:
        """Seed dropout, and draw which residual branches each clip skips."""
        torch.manual_seed(int(counted_rng(self.seed, step, start, stream="dropout").integers(2**63)))
        if not self.num_drop_paths:
            return
        rng = counted_rng(self.seed, step, stream="drop_path")
        draws = torch.from_numpy(rng.random((self.num_drop_paths, self.sampler.batch_size), dtype="float32"))
        set_drop_path_draws(self.model, draws[:, start + slots].to(self.fabric.device))


def _silent_batch(batch: Batch) -> Batch:
    """A batch of one silent clip, to use instead of an empty batch."""
    return batch.map_tensors(lambda tensor: tensor.new_zeros((1, *tensor.shape[1:])))
