"""Mixup (Zhang et al., 2017, arXiv 1710.09412) with one weight per step, and label smoothing.

Axes: B clips of the global batch, b clips of one micro-batch, C classes.

Partners are drawn once for the global batch, but only inside fixed groups of consecutive clips. A micro-batch that
holds whole groups holds every pair, so the mixture does not depend on how the global batch is divided into
micro-batches and among ranks.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from audio_dcls.counted_random import counted_rng
from audio_dcls.errors import ArgumentError
from audio_dcls.settings import Settings


class MixupConfig(Settings):
    """Settings of mixup and label smoothing."""

    mixup_alpha: float = Field(default=0.8, ge=0, allow_inf_nan=False)
    """α of the mixing weight λ ~ Beta(α, α), one per step; 0 is off."""

    mixup_on: Literal["spectrogram", "waveform"] = "spectrogram"
    """What is mixed: the normalised log-mel spectrograms, as in the paper, or the waveforms before the frontend; by the
    same λ and partners."""

    mixup_group_clips: int = Field(default=32, ge=1)
    """Clips are mixed inside consecutive groups of this size, which no micro-batch or process splits: it must divide
    the per-device batch. It changes the result, so keep it when the number of devices changes."""

    label_smoothing: float = Field(default=0.1, ge=0, le=1)
    """s in (1 − s) · y + s / num_classes, applied before mixing; 0 is off."""


def draw_mixup(batch_size: int, *, alpha: float, seed: int, step: int, group_clips: int) -> tuple[float, Tensor]:
    """Draw the mixing weight λ ~ Beta(α, α) and every clip's partner for one step.

    An α of 0 is off: λ = 1 and every clip is its own partner. Steps are counted from 0 over the whole run. The partners
    of a group are a random permutation of it, so a clip may be its own partner; the last group of a batch may be
    smaller. Return λ in 0 to 1, and the partners: (B,) int64, places in the global batch. Raise an ArgumentError if a
    number is out of range.

    >>> lam, partners = draw_mixup(4, alpha=0.8, seed=0, step=0, group_clips=2)
    >>> 0 <= lam <= 1, sorted(partners[:2].tolist()), sorted(partners[2:].tolist())
    (True, [0, 1], [2, 3])
    """
    if not alpha >= 0:
        raise ArgumentError(f"`alpha` (={alpha}) must be at least 0; 0 turns mixup off")
    for name, value in (("batch_size", batch_size), ("group_clips", group_clips)):
        if value < 1:
            raise ArgumentError(f"`{name}` (={value}) must be at least 1")
    if alpha == 0:
        return 1.0, torch.arange(batch_size)
    rng = counted_rng(seed, step, stream="mixup")
    lam = float(rng.beta(alpha, alpha))
    groups = [
        start + rng.permutation(min(group_clips, batch_size - start)) for start in range(0, batch_size, group_clips)
    ]
    return lam, torch.from_numpy(np.concatenate(groups))


def check_mixup_groups(batch_size: int, micro_batch_size: int, group_clips: int) -> None:
    """Raise an ArgumentError if a pair of clips would be split between two micro-batches.

    A micro-batch is one forward pass on one rank; `group_clips` is the size of a group of `draw_mixup`.

    >>> check_mixup_groups(batch_size=64, micro_batch_size=16, group_clips=8)
    """
    if micro_batch_size != batch_size and micro_batch_size % group_clips:
        raise ArgumentError(
            f"`mixup_group_clips` (={group_clips}) must divide the micro-batch (={micro_batch_size}), or a pair would "
            f"be split between two forward passes; lower it to a divisor of {micro_batch_size}"
        )


def micro_batch_partners(partners: Tensor, start: int, slots: Tensor) -> Tensor:
    """Partners of the clips in one micro-batch, without those that could not be read: (b,) int64, places among them.

    A clip whose partner could not be read is its own partner. The micro-batch's first clip has place `start` in the
    global batch (`StepBatchSampler.micro_batch_start`). `slots` (b,) are the ascending places of the clips within the
    micro-batch (`Batch.slots`), without the places of clips that could not be read.

    >>> micro_batch_partners(torch.tensor([1, 0, 4, 2, 3]), start=2, slots=torch.tensor([0, 2]))
    tensor([1, 1])
    """
    wanted = partners[start + slots] - start
    found = torch.searchsorted(slots, wanted).clamp(max=max(len(slots) - 1, 0))
    return torch.where(slots[found] == wanted, found, torch.arange(len(slots)))


def mix(x: Tensor, lam: float, partners: Tensor) -> Tensor:
    """Mix each item (b, ...) with its partner: λ · x + (1 − λ) · x[partners], with `partners` (b,) on any device.

    >>> mix(torch.tensor([0.0, 1.0]), 0.75, torch.tensor([1, 0]))
    tensor([0.2500, 0.7500])
    """
    return lam * x + (1.0 - lam) * x[partners.to(x.device, non_blocking=True)]


def smooth_labels(y: Tensor, smoothing: float, num_classes: int) -> Tensor:
    """Smooth multi-label targets (b, C) of 0 or 1: (1 − s) · y + s / C, before mixing.

    Raise an ArgumentError if the smoothing s is not from 0 (off) to 1.

    >>> smooth_labels(torch.tensor([[1.0, 0.0]]), 0.1, num_classes=2)
    tensor([[0.9500, 0.0500]])
    """
    if not 0 <= smoothing <= 1:
        raise ArgumentError(f"`smoothing` (={smoothing}) must be from 0 to 1; 0 turns it off")
    return (1.0 - smoothing) * y + smoothing / num_classes
