"""Initialise a classifier's bias from the frequencies of the classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ModelError
from audio_dcls.models.activation import Activation

Labels = ClipTable | Iterable[Sequence[int]]
"""Clips, or the class indices of each clip."""


def class_log_odds(labels: Labels, num_classes: int) -> np.ndarray:
    """Natural log-odds of each class, (C,); half a clip is added on both sides, so that an empty class has finite ones.

    >>> class_log_odds([(0,), (0,), (1,)], 2).round(3).tolist()
    [0.511, -0.511]
    """
    counts, num_clips = _count(labels, num_classes)
    return np.log((counts + 0.5) / (num_clips - counts + 0.5))


def class_log_frequencies(labels: Labels, num_classes: int) -> np.ndarray:
    """Natural logarithm of each class's share of the labels, (C,); half a label is added to every class.

    >>> class_log_frequencies([(0,), (0,), (1,)], 2).round(3).tolist()
    [-0.47, -0.981]
    """
    counts = _count(labels, num_classes)[0] + 0.5
    return np.log(counts / counts.sum())


def set_prior_bias(
    backbone: nn.Module,
    labels: Labels,
    num_classes: int,
    activation: Activation = "sigmoid",
    keep: Sequence[int] = (),
) -> None:
    """Set the bias of the last linear layer, so that with zero weights the probabilities are the frequencies.

    The bias of the classes in `keep` does not change. Raises `ModelError` if the backbone has no linear layer with a
    bias and one output per class.
    """
    layers = [m for m in backbone.modules() if isinstance(m, nn.Linear) and m.out_features == num_classes]
    if not layers or layers[-1].bias is None:
        raise ModelError(
            f"`loop.prior_bias` needs a linear classifier with {num_classes} outputs and a bias; set it to false"
        )
    bias_of = class_log_frequencies if activation == "softmax" else class_log_odds
    with torch.no_grad():
        bias = torch.from_numpy(bias_of(labels, num_classes)).to(layers[-1].bias)
        bias[list(keep)] = layers[-1].bias[list(keep)]
        layers[-1].bias.copy_(bias)


def _count(labels: Labels, num_classes: int) -> tuple[np.ndarray, int]:
    """Number of clips of each class, (C,) float64, and of all clips."""
    if isinstance(labels, ClipTable):
        return np.bincount(labels.label_indices, minlength=num_classes).astype(np.float64), len(labels)
    counts, num_clips = np.zeros(num_classes), 0
    for clip_labels in labels:
        counts[list(clip_labels)] += 1
        num_clips += 1
    return counts, num_clips
