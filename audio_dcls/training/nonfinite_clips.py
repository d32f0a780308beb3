"""Find the clips that made a loss or gradient infinite or NaN.

Axes: B clips, C classes, T samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.errors import RunError
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.training.distributed.gather import gather_items
from audio_dcls.training.learning.losses import Loss


def report_nonfinite_step(
    run_dir: RunDir,
    fabric: Any,
    model: Any,
    dataset: ClipDataset,
    own_clips: Sequence[tuple[int, int]],
    loss: Loss,
    *,
    step: int,
    epoch: int,
) -> list[dict[str, Any]]:
    """Examine the clips of a step, on all processes, and write the report into the run.

    This process examines `own_clips`, pairs of epoch and clip index; the model has the weights from before the step.
    Steps count from 1, and `epoch` is the number of whole epochs before the step.

    Returns:
        The clips with a finding, as `_examine_clip` describes them.
    """
    clips = gather_items(fabric, _examine_clips(model, dataset, own_clips, fabric.device, loss))
    found = [clip for clip in clips if clip["finding"] is not None]
    if fabric.is_global_zero:
        name = str(run_dir.nonfinite_path(step).relative_to(run_dir.path))
        run_dir.write_json(name, {"step": step, "epoch": epoch, "found": found, "clips": clips})
    return found


def nonfinite_error(run_dir: RunDir, step: int, found: Sequence[dict[str, Any]]) -> RunError:
    """The error that stops a run after a step, counted from 1, that was not finite."""
    named = "; ".join(f"clip '{clip['id']}' ('{clip['path']}'): {clip['finding']}" for clip in found[:3])
    cause = named or "no clip alone makes it so: the learning rate may be too high"
    last = "the last checkpoint is intact" if run_dir.checkpoints() else "no checkpoint was written yet"
    return RunError(
        f"loss or gradient of step {step} of run '{run_dir.path}' is not finite; {cause}; the step's clips are in "
        f"'{run_dir.nonfinite_path(step)}'. Fix or leave out the clip, lower `optimizer.peak_rate`, or set "
        f"loop.nonfinite=skip; {last}"
    )


@torch.no_grad()
def _examine_clips(
    model: Any, dataset: ClipDataset, clips: Sequence[tuple[int, int]], device: torch.device, loss: Loss
) -> list[dict[str, Any]]:
    """Run each clip of a step alone, augmented as in the step, without mixup, with the model in evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        return [_examine_clip(model, dataset, epoch, index, device, loss) for epoch, index in clips]
    finally:
        model.train(was_training)


def _examine_clip(
    model: Any, dataset: ClipDataset, epoch: int, index: int, device: torch.device, loss: Loss
) -> dict[str, Any]:
    """`id`, `path`, `epoch`, `loss` (None if it is not finite) and `finding` (None if the clip alone is harmless)."""
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
