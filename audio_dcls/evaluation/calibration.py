"""Calibration: how often a score of 0.8 is right.

Axes: N clips, C classes, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audio_dcls.errors import EvaluationError

_NUM_BINS = 15


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores in bins of equal width, all classes together."""

    edges: np.ndarray
    """(B + 1,) from 0 to 1."""
    counts: np.ndarray
    """(B,) number of pairs of clip and class in each bin."""
    mean_scores: np.ndarray
    """(B,) mean score of each bin; NaN for an empty bin."""
    positive_shares: np.ndarray
    """(B,) share of the pairs that are labelled with the class; NaN for an empty bin."""

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean over pairs of |positive share - mean score| of their bin (Guo et al., 2017,
        equation 3).
        """
        filled = self.counts > 0
        gaps = np.abs(self.positive_shares[filled] - self.mean_scores[filled])
        return float((gaps * self.counts[filled]).sum() / self.counts.sum())


def calibration(targets: np.ndarray, scores: np.ndarray, num_bins: int = _NUM_BINS) -> Calibration:
    """Sort scores (N, C), 0 to 1, into bins, and count the pairs of each bin whose target (N, C) is 1. Raises
    `EvaluationError` if the shapes differ, there is no clip, or a score is out of range.

    >>> found = calibration(np.array([[1, 0, 1, 1]]), np.array([[0.75, 0.75, 0.75, 0.75]]), num_bins=2)
    >>> found.positive_shares.tolist()[1], found.expected_error
    (0.75, 0.0)
    """
    if targets.shape != scores.shape or not scores.size:
        raise EvaluationError(
            f"`targets` {targets.shape} and `scores` {scores.shape} must have one shape, with at least one clip"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise EvaluationError("`scores` must be probabilities, 0 to 1; apply the model's activation to its logits")
    if num_bins < 1:
        raise EvaluationError(f"`num_bins` (={num_bins}) must be at least 1")
    edges = np.linspace(0, 1, num_bins + 1)
    flat, labelled = scores.ravel().astype(float), targets.ravel().astype(float)
    bins = np.clip(np.searchsorted(edges, flat, side="right") - 1, 0, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(bins, weights=flat, minlength=num_bins) / counts
        shares = np.bincount(bins, weights=labelled, minlength=num_bins) / counts
    return Calibration(edges, counts, means, shares)
