"""Scores of a tagger from arrays alone. Logs, tables, JSON and model cards show each entry of `METRICS`.

Axis legend: N clips, C classes.

mAP is the unweighted mean over classes of average precision (scikit-learn's), AUC the mean over classes of the area
under the ROC curve. Sensitivity index: d' = sqrt(2) * probit(AUC) (Gemmeke et al., "Audio Set", ICASSP 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from audio_dcls.data.table.clip_set import id_hash
from audio_dcls.errors import EvaluationError


@dataclass(frozen=True, eq=False)
class Measurement:
    """The targets and scores that metrics are computed from."""

    targets: np.ndarray
    """(N, C), 0 or 1."""
    scores: np.ndarray
    """(N, C), finite."""

    @cached_property
    def num_positives(self) -> np.ndarray:
        """(C,) clips with each class."""
        return self.targets.sum(axis=0).astype(np.int64)

    @cached_property
    def num_negatives(self) -> np.ndarray:
        """(C,) clips without each class."""
        return len(self.targets) - self.num_positives

    @cached_property
    def counted(self) -> np.ndarray:
        """Indices of the classes with a positive and a negative clip. Means are over these classes."""
        return np.flatnonzero((self.num_positives > 0) & (self.num_negatives > 0))

    @cached_property
    def auc(self) -> np.ndarray:
        """(C,) area under each class's ROC curve, 0 to 1."""
        return self.by_class(roc_auc_score)

    def by_class(self, score: Callable[[np.ndarray, np.ndarray], Any]) -> np.ndarray:
        """(C,) a score of the targets (N,) and scores (N,) of each class; NaN for classes that are not counted."""
        values = np.full(self.targets.shape[1], np.nan)
        for c in self.counted:
            values[c] = score(self.targets[:, c], self.scores[:, c])
        return values


@dataclass(frozen=True)
class Metric:
    """One score: how it is computed and how it is shown. Its name in logs and JSON is its key in `METRICS`."""

    title: str
    """Its name in tables."""
    compute: Callable[[Measurement], np.ndarray | float | None]
    """Gives a value per class (C,), whose mean over the counted classes is the score; or the score itself; or None
    where it is not defined."""
    column: str | None = None
    """Column of the values per class in `per_class.csv`; None for a score without them."""
    card_title: str | None = None
    """Its name in model cards, if that is not `title`."""
    shown_in_training: bool = False
    """True if training prints it after each evaluation."""
    digits: int = 4
    """Decimal places in tables and model cards."""

    def format(self, value: float) -> str:
        """A value as text."""
        return f"{value:.{self.digits}f}"


def d_prime_from_auc(auc: np.ndarray, num_positives: np.ndarray, num_negatives: np.ndarray) -> np.ndarray:
    """Sensitivity index d' = sqrt(2) * probit(AUC).

    An AUC of exactly 0 or 1 would give an infinite d'. AUC changes in steps of 1 / (positives * negatives), half a step
    for a tie, so it is kept half a step inside (0, 1): the usual correction for perfect scores.

    All arguments are (C,): AUC, 0 to 1 or NaN, and the numbers of clips with and without the class.

    >>> float(d_prime_from_auc(np.array([0.5]), np.array([10]), np.array([10]))[0])
    0.0
    """
    half_step = 0.5 / np.maximum(num_positives * num_negatives, 1)
    return np.sqrt(2.0) * norm.ppf(np.clip(auc, half_step, 1.0 - half_step))


def _d_prime(m: Measurement) -> np.ndarray:
    return d_prime_from_auc(m.auc, m.num_positives, m.num_negatives)


def _d_prime_of_mean_auc(m: Measurement) -> float:
    pairs = m.num_positives[m.counted] * m.num_negatives[m.counted]
    mean = np.mean(m.auc[m.counted], keepdims=True)
    return float(d_prime_from_auc(mean, pairs.sum(keepdims=True), np.array([1]))[0])


def _accuracy(m: Measurement) -> float | None:
    """Share of clips whose best-scored class is their label; None unless every clip has exactly one label."""
    if not (m.targets.sum(axis=1) == 1).all():
        return None
    return float(np.mean(m.scores.argmax(axis=1) == m.targets.argmax(axis=1)))


METRICS: dict[str, Metric] = {
    "mAP": Metric(
        "mAP", lambda m: m.by_class(average_precision_score), column="average_precision", shown_in_training=True
    ),
    "AUC": Metric("AUC", lambda m: m.auc, column="auc"),
    "d_prime_of_mean_AUC": Metric("d' of mean AUC", _d_prime_of_mean_auc, card_title="d' of the mean AUC"),
    "mean_d_prime": Metric("mean d'", _d_prime, column="d_prime"),
    "accuracy": Metric("accuracy", _accuracy, shown_in_training=True),
}
"""Every score by its name in logs, JSON and checkpoints, in the order of the tables."""


@dataclass(frozen=True)
class TaggingMetrics:
    """Scores of one model on one set of clips."""

    scores: Mapping[str, float]
    """The value of each of `METRICS` that is defined on these clips, by name."""
    per_class: Mapping[str, np.ndarray]
    """(C,) values by `Metric.column`; NaN for classes that are left out."""
    num_clips: int
    num_positives: np.ndarray
    """(C,) clips with each class."""
    left_out: tuple[int, ...]
    """Indices of classes with no positive, or no negative, clip."""
    clip_id_hash: str | None = None
    """`id_hash` of the clips: scores with the same hash are of the same clips. None if no ids were given."""

    @property
    def mean_average_precision(self) -> float:
        """mAP, 0 to 1."""
        return self.scores["mAP"]

    def shown_in_training(self) -> dict[str, float]:
        """By title, the scores that training prints after each evaluation."""
        return {METRICS[name].title: score for name, score in self.scores.items() if METRICS[name].shown_in_training}

    def clip_set(self) -> dict[str, Any]:
        """The number of clips and the hash of their ids, under their names in logs and JSON."""
        return {"num_clips": self.num_clips, "clip_id_hash": self.clip_id_hash}


def tagging_metrics(targets: np.ndarray, scores: np.ndarray, clip_ids: Sequence[str] | None = None) -> TaggingMetrics:
    """Compute every score.

    A class without a positive clip has no average precision, and any model ranks a class without a negative clip
    perfectly: both are left out of all means and listed in `left_out`.

    Args:
        targets: (N, C), 0 or 1.
        scores: (N, C), finite; a monotone change of the scores changes nothing.
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
    measured = Measurement(targets, scores)
    num_clips, num_classes = targets.shape
    if len(measured.counted) == 0:
        raise EvaluationError(
            f"not one of the {num_classes} classes has both a positive and a negative clip among {num_clips}; "
            "evaluate on more clips, or check that the manifest's labels are those of the model"
        )
    values: dict[str, float] = {}
    per_class: dict[str, np.ndarray] = {}
    for name, metric in METRICS.items():
        value = metric.compute(measured)
        if isinstance(value, np.ndarray):
            if metric.column is not None:
                per_class[metric.column] = value
            value = float(np.mean(value[measured.counted]))
        if value is not None:
            values[name] = value
    return TaggingMetrics(
        scores=values,
        per_class=per_class,
        num_clips=num_clips,
        num_positives=measured.num_positives,
        left_out=tuple(int(c) for c in np.setdiff1d(np.arange(num_classes), measured.counted)),
        clip_id_hash=None if clip_ids is None else id_hash(clip_ids),
    )


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
