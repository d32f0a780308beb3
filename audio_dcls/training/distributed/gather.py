"""Gather results from all processes, and measure the memory of one.

Axes: N clips, C classes.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import numpy as np
import torch
import torch.distributed

from audio_dcls.evaluation.predict import Predictions

MIB = 2**20


def gather_predictions(fabric: Any, own: Predictions) -> Predictions:
    """Gather the predictions of all processes on every process, in the order of the clips. Raises `ValueError` if two
    processes scored the same clip.
    """
    if fabric.world_size == 1:
        return own
    parts: list[Predictions] = [part for part in gather_items(fabric, [own]) if len(part.indices)]
    indices = np.concatenate([part.indices for part in parts])
    if len(np.unique(indices)) != len(indices):
        raise ValueError("two processes scored the same clip")
    rank = np.argsort(indices)
    scores, targets = (np.concatenate([getattr(part, name) for part in parts])[rank] for name in ("scores", "targets"))
    return Predictions(indices[rank], scores, targets, tuple(problem for part in parts for problem in part.problems))


def gather_items(fabric: Any, own: list[Any]) -> list[Any]:
    """Gather the items of all processes on every process."""
    if fabric.world_size == 1:
        return own
    parts: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(parts, own)
    return [item for part in parts for item in part]


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory so far, of the accelerator if there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / MIB if sys.platform == "darwin" else highest / 1024
