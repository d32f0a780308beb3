"""Scores of a tagger from arrays alone.

Axis legend: N clips, C classes.

mAP is the unweighted mean over classes of average precision (scikit-learn's), AUC the mean over classes of the area
under the ROC curve. Sensitivity index: d' = sqrt(2) * probit(AUC) (Gemmeke et al., "Audio Set", ICASSP 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from audio_dcls.data.table.clip_set import id_hash
from audio_dcls.errors import EvaluationError


@dataclass(frozen=True)
class TaggingMetrics:
    """Scores of one model on one set of clips.

    Per-class arrays have shape (C,) and hold NaN for classes left out.
    """

    mean_average_precision: float
    """Unweighted mean of `average_precision` over the classes that count, 0 to 1."""
    mean_auc: float
    """Unweighted mean of `auc` over the classes that count, 0 to 1."""
    d_prime_of_mean_auc: float
    """d' computed from `mean_auc`."""
    mean_d_prime: float
    """Mean of the per-class d'."""
    num_clips: int
    num_classes: int
    average_precision: np.ndarray
    auc: np.ndarray
    d_prime: np.ndarray
    num_positives: np.ndarray
    left_out: tuple[int, ...]
    """Indices of classes with no positive, or no negative, clip."""
    accuracy: float | None = None
    """Share of clips whose best-scored class is their label, 0 to 1; None unless every clip has exactly one label."""
    clip_id_hash: str | None = None
    """`id_hash` of the clips: two scores of the same hash are of the same clips. None where no ids were given."""

    def scores(self) -> dict[str, float]:
        """The scores over all classes under their names in logs, tables and JSON; accuracy where there is one."""
        scores = {
            "mAP": self.mean_average_precision,
            "AUC": self.mean_auc,
            "d_prime_of_mean_AUC": self.d_prime_of_mean_auc,
            "mean_d_prime": self.mean_d_prime,
        }
        return scores if self.accuracy is None else scores | {"accuracy": self.accuracy}

    def clip_set(self) -> dict[str, Any]:
        """Which clips were measured, under their names in logs and JSON: how many, and the hash of their ids."""
        return {"num_clips": self.num_clips, "clip_id_hash": self.clip_id_hash}


def tagging_metrics(targets: np.ndarray, scores: np.ndarray, clip_ids: Sequence[str] | None = None) -> TaggingMetrics:
    """Compute every score.

    A class without a positive clip has no average precision, and one without a negative clip is ranked perfectly by
    any model: both are left out of all means and listed in `left_out`.

    Args:
        targets: (N, C), 0 or 1.
        scores: (N, C), finite; any monotone score ranks alike.
        clip_ids: (N,) names of the clips, each once.

    Raises:
        EvaluationError: shapes differ, values are not finite or not 0/1, a clip is named twice, or no class can be
            scored.

    >>> m = tagging_metrics(np.array([[1, 0], [0, 0], [1, 0]]), np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]))
    >>> round(m.mean_average_precision, 4), m.left_out
    (0.8333, (1,))
    """
    targets, scores = np.asarray(targets), np.asarray(scores, dtype=np.float64)
    _check(targets, scores, clip_ids)
    num_clips, num_classes = targets.shape
    num_positives = targets.sum(axis=0).astype(np.int64)
    average_precision = np.full(num_classes, np.nan)
    auc = np.full(num_classes, np.nan)
    counted = np.flatnonzero((num_positives > 0) & (num_positives < num_clips))
    if len(counted) == 0:
        raise EvaluationError(
            f"none of the {num_classes} classes has both a positive and a negative clip among {num_clips}; "
            "evaluate on more clips, or check that the manifest's labels are those of the model"
        )
    for c in counted:
        average_precision[c] = average_precision_score(targets[:, c], scores[:, c])
        auc[c] = roc_auc_score(targets[:, c], scores[:, c])
    d_prime = d_prime_from_auc(auc, num_positives, num_clips - num_positives)
    mean_auc = float(np.mean(auc[counted]))
    pairs = num_positives[counted] * (num_clips - num_positives[counted])
    return TaggingMetrics(
        mean_average_precision=float(np.mean(average_precision[counted])),
        mean_auc=mean_auc,
        d_prime_of_mean_auc=float(d_prime_from_auc(np.array([mean_auc]), pairs.sum(keepdims=True), np.array([1]))[0]),
        mean_d_prime=float(np.mean(d_prime[counted])),
        num_clips=num_clips,
        num_classes=num_classes,
        average_precision=average_precision,
        auc=auc,
        d_prime=d_prime,
        num_positives=num_positives,
        left_out=tuple(int(c) for c in np.setdiff1d(np.arange(num_classes), counted)),
        accuracy=_accuracy(targets, scores),
        clip_id_hash=None if clip_ids is None else id_hash(clip_ids),
    )


def _accuracy(targets: np.ndarray, scores: np.ndarray) -> float | None:
    if not (targets.sum(axis=1) == 1).all():
        return None
    return float(np.mean(scores.argmax(axis=1) == targets.argmax(axis=1)))


def d_prime_from_auc(auc: np.ndarray, num_positives: np.ndarray, num_negatives: np.ndarray) -> np.ndarray:
    """Sensitivity index d' = sqrt(2) * probit(AUC).

    An AUC of exactly 0 or 1 would give an infinite d'. AUC moves in steps of 1 / (positives * negatives), half a step
    for a tie, so it is kept half a step inside (0, 1): the usual correction for perfect scores.

    Args:
        auc: (C,), 0 to 1 or NaN.
        num_positives: (C,), clips with the class.
        num_negatives: (C,), clips without it.

    >>> float(d_prime_from_auc(np.array([0.5]), np.array([10]), np.array([10]))[0])
    0.0
    """
    half_step = 0.5 / np.maximum(num_positives * num_negatives, 1)
    return np.sqrt(2.0) * norm.ppf(np.clip(auc, half_step, 1.0 - half_step))


def _check(targets: np.ndarray, scores: np.ndarray, clip_ids: Sequence[str] | None) -> None:
    if targets.ndim != 2 or targets.shape != scores.shape:
        raise EvaluationError(f"targets {targets.shape} and scores {scores.shape} must have one shape (clips, classes)")
    if clip_ids is not None and not len(targets) == len(clip_ids) == len(set(clip_ids)):
        raise EvaluationError(
            f"`clip_ids` names {len(set(clip_ids))} clips, and there are scores of {len(targets)}; name each clip once"
        )
    if not np.isin(targets, (0, 1)).all():
        raise EvaluationError("targets must hold only 0 and 1")
    if not np.isfinite(scores).all():
        rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        raise EvaluationError(
            f"scores of {len(rows)} clips are not finite (first at row {rows[0]}); the model's weights have diverged: "
            "use an earlier checkpoint"
        )
