"""Fit a threshold for each class on the scores of a validation split.

Axis legend: N clips, C classes.

The F1 score of a class is 2 TP / (2 TP + FP + FN); a clip is positive if its score is at least the threshold (van
Rijsbergen, Information Retrieval, 1979). F1 is highest at the score of one of the clips; the threshold is set halfway
between that score and the next lower one, where F1 is the same and the margin for new clips is largest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from audio_dcls.errors import EvaluationError

_MIN_POSITIVES = 5
"""Classes with fewer positive clips get the threshold of all classes together, as too few clips would decide theirs."""
_PLAIN = 0.5
"""The threshold that the gain is compared with."""


@dataclass(frozen=True)
class FittedThresholds:
    """Thresholds of C classes, and their F1 on the clips they were fitted on."""

    values: np.ndarray
    """(C,) float64, above 0, at most 1."""
    pooled: float
    """The threshold that is best for all classes together."""
    fitted: np.ndarray
    """(C,) bool: true for a class with its own threshold, false for `pooled`."""
    f1: np.ndarray
    """(C,) F1 at `values`; NaN for a class without a positive clip."""
    f1_plain: np.ndarray
    """(C,) F1 at a threshold of 0.5."""

    @property
    def mean_f1(self) -> float:
        """Mean of `f1` over the classes with a positive clip, 0 to 1."""
        return float(np.nanmean(self.f1))

    @property
    def mean_f1_plain(self) -> float:
        """Mean of `f1_plain` over the same classes."""
        return float(np.nanmean(self.f1_plain))

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the thresholds themselves."""
        return {
            "num_classes_fitted": int(self.fitted.sum()),
            "pooled": self.pooled,
            "mean_f1": self.mean_f1,
            "mean_f1_at_0.5": self.mean_f1_plain,
        }


def fit_thresholds(targets: np.ndarray, scores: np.ndarray, *, min_positives: int = _MIN_POSITIVES) -> FittedThresholds:
    """The threshold of each class with the highest F1.

    Targets and scores are (N, C). A class with fewer than `min_positives` (at least 1) positive clips gets the
    threshold that is best for all classes together. Raises `EvaluationError` if shapes differ, a score is not a
    probability, or there is no positive clip.

    >>> targets = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    >>> scores = np.array([[0.9, 0.1], [0.4, 0.2], [0.2, 0.3], [0.1, 0.1]])
    >>> fit_thresholds(targets, scores, min_positives=1).values.round(3).tolist()
    [0.3, 0.25]
    """
    targets, scores = np.asarray(targets).astype(bool), np.asarray(scores, dtype=np.float64)
    _check(targets, scores, min_positives)
    pooled = best_threshold(targets.ravel(), scores.ravel())
    num_positives = targets.sum(axis=0)
    fitted = num_positives >= min_positives
    values = np.full(targets.shape[1], pooled)
    for c in np.flatnonzero(fitted):
        values[c] = best_threshold(targets[:, c], scores[:, c])
    return FittedThresholds(values, pooled, fitted, _f1(targets, scores >= values), _f1(targets, scores >= _PLAIN))


def best_threshold(targets: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the highest F1 for one class, (N,) each; if there are several, the highest of them. At least
    one of the targets (bool) is true.

    >>> best_threshold(np.array([True, True, False]), np.array([0.9, 0.6, 0.2]))
    0.4
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_ties = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    num_called = last_of_ties + 1
    num_right = np.cumsum(targets[order])[last_of_ties]
    f1 = 2 * num_right / (num_called + targets.sum())
    best = int(np.argmax(f1))
    reached, lower = np.append(ranked[last_of_ties], 0.0)[best : best + 2].tolist()
    middle = (reached + lower) / 2
    return middle if middle > lower else max(reached, float(np.nextafter(0.0, 1.0)))


def _f1(targets: np.ndarray, called: np.ndarray) -> np.ndarray:
    """F1 of each class, (C,), from targets and decisions (N, C); NaN for a class without a positive clip."""
    num_positives = targets.sum(axis=0)
    num_right = (targets & called).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(num_positives > 0, 2 * num_right / (called.sum(axis=0) + num_positives), np.nan)


def _check(targets: np.ndarray, scores: np.ndarray, min_positives: int) -> None:
    if targets.ndim != 2 or targets.shape != scores.shape:
        raise EvaluationError(f"targets {targets.shape} and scores {scores.shape} must have one shape (clips, classes)")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise EvaluationError(
            "scores must be probabilities between 0 and 1 to fit thresholds; the model's weights may have "
            "diverged: use an earlier checkpoint"
        )
    if min_positives < 1:
        raise EvaluationError(f"`min_positives` (={min_positives}) must be at least 1")
    if not targets.any():
        raise EvaluationError(
            f"the {len(targets)} clips have no labels, so no threshold can be fitted; name another split"
        )
