"""Which clips made a loss or gradient that is not finite.

Axes: B clips, C classes, T samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.training.learning.losses import Loss


@torch.no_grad()
def examine_clips(
    model: Any, dataset: ClipDataset, places: Sequence[tuple[int, int]], device: torch.device, loss: Loss
) -> list[dict[str, Any]]:
    """Look at each clip of a step alone, as it was drawn, without mixup, the model in evaluation mode.

    Args:
        model: waveforms (B, T) -> logits (B, C), with the weights from before the step.
        dataset: the training clips.
        places: (epoch, clip index) of each.
        device: where the model is.
        loss: logits (B, C) and targets (B, C) to the mean over clips.

    Returns:
        One mapping a clip: `id`, `path`, `epoch`, `loss` (None where it is not finite) and `finding`, None where the
        clip alone is harmless.
    """
    was_training = model.training
    model.eval()
    try:
        return [_examine(model, dataset, epoch, index, device, loss) for epoch, index in places]
    finally:
        model.train(was_training)


def cause_of(found: Sequence[dict[str, Any]]) -> str:
    """In words, from what `examine_clips` found."""
    named = "; ".join(f"clip '{clip['id']}' ('{clip['path']}'): {clip['finding']}" for clip in found[:3])
    return named or "no clip alone makes it so: the learning rate may be too high"


def _examine(
    model: Any, dataset: ClipDataset, epoch: int, index: int, device: torch.device, loss: Loss
) -> dict[str, Any]:
    clip = dataset.clips[index]
    report: dict[str, Any] = {"id": clip.id, "path": str(clip.path), "epoch": epoch, "loss": None, "finding": None}
    sample = dataset[(epoch, index)]
    if "failure" in sample:
        return report | {"finding": f"cannot be read: {sample['failure'].reason}"}
    waveform = sample["waveform"]
    if not waveform.isfinite().all():
        return report | {"finding": "its waveform is not finite"}
    logits = model(waveform[None].to(device)).float()
    if not logits.isfinite().all():
        peak = float(waveform.abs().max())
        return report | {"finding": f"its logits are not finite (largest sample {peak:.3g})"}
    value = float(loss(logits, sample["target"][None].to(device)))
    return report | {"loss": value if math.isfinite(value) else None}
