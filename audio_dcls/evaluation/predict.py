"""Scores of every clip of a set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from audio_dcls.data.audit.problems import ClipProblem
from audio_dcls.data.loading.samples import Batch
from audio_dcls.models.activation import Activation, activate


@dataclass(frozen=True)
class Predictions:
    """Scores and targets of N clips over C classes."""

    indices: np.ndarray
    """(N,), position of each clip in the evaluated list, ascending."""
    scores: np.ndarray
    """(N, C), probabilities."""
    targets: np.ndarray
    """(N, C), 0 or 1."""
    problems: tuple[ClipProblem, ...]
    """Clips that could not be read."""


@torch.inference_mode()
def predict(
    model: nn.Module,
    loader: Iterable[Batch],
    device: torch.device | str,
    *,
    bf16: bool = False,
    activation: Activation = "sigmoid",
    on_logits: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> Predictions:
    """Run a tagger over a loader; the predictions are in the order of the clips, for any order of the batches.

    The model, waveforms (B, T) -> logits (B, C), runs in evaluation mode and gets its own mode back. `bf16` computes
    under autocast. `on_logits` is called with each batch's indices (B,) and logits (B, C). Raises `ValueError` if the
    loader yields a clip twice.
    """
    device = torch.device(device)
    was_training = model.training
    model.eval()
    indices, scores, targets, problems = [], [], [], []
    try:
        for batch in loader:
            problems.extend(batch.failures)
            if len(batch.indices) == 0:
                continue
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logits = model(batch.waveforms.to(device, non_blocking=True))
            indices.append(batch.indices.numpy())
            if on_logits is not None:
                on_logits(indices[-1], logits.float().cpu().numpy())
            scores.append(activate(logits, activation).cpu().numpy())
            targets.append(batch.targets.numpy())
    finally:
        model.train(was_training)
    if not indices:
        empty = np.zeros((0, 0), dtype=np.float32)
        return Predictions(np.zeros(0, dtype=np.int64), empty, empty, tuple(problems))
    order = np.concatenate(indices)
    if len(np.unique(order)) != len(order):
        raise ValueError("the evaluation loader yielded a clip twice")
    rank = np.argsort(order)
    return Predictions(order[rank], np.concatenate(scores)[rank], np.concatenate(targets)[rank], tuple(problems))
