"""Classes that a tagger confuses, and classes that occur together.

Axes: N clips, C classes.
"""

from __future__ import annotations

import numpy as np

from audio_dcls.errors import EvaluationError


def confusion(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Mean score of a class on clips of another class that are not labelled with it.

    Targets and scores are (N, C). Entry (i, j) of the result (C, C) is the mean score of j over clips that have i and
    not j; NaN if there is no such clip, and on the diagonal.

    >>> confusion(np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.4], [0.2, 0.8]]))
    array([[nan, 0.4],
           [0.2, nan]])
    """
    _check(targets, scores)
    has = targets.astype(float)
    lacks = 1 - has
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (has.T @ (lacks * scores)) / (has.T @ lacks)
    np.fill_diagonal(found, np.nan)
    return found


def co_occurrence(amounts: np.ndarray) -> np.ndarray:
    """The share of a class that occurs together with another: the true one from targets (N, C), the learned one from
    scores.

    Entry (i, j) of the result (C, C) is sum(a_i a_j) / sum(a_i) over clips, which for targets is the share of the clips
    of i that also have j; NaN in the rows of classes without clips, and on the diagonal.

    >>> co_occurrence(np.array([[1, 1], [1, 0]]))
    array([[nan, 0.5],
           [1. , nan]])
    """
    values = amounts.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (values.T @ values) / values.sum(axis=0)[:, None]
    np.fill_diagonal(found, np.nan)
    return found


def worst_missed(targets: np.ndarray, scores: np.ndarray, most: int) -> list[tuple[int, int]]:
    """At most `most` labelled pairs (clip, class) with the lowest scores, one per clip, worst first.

    >>> worst_missed(np.array([[1, 1], [0, 1]]), np.array([[0.2, 0.1], [0.0, 0.3]]), most=5)
    [(0, 1), (1, 1)]
    """
    _check(targets, scores)
    clips, classes = np.nonzero(targets)
    found: dict[int, int] = {}
    for place in np.argsort(scores[clips, classes], kind="stable"):
        found.setdefault(int(clips[place]), int(classes[place]))
        if len(found) == most:
            break
    return list(found.items())


def _check(targets: np.ndarray, scores: np.ndarray) -> None:
    if targets.shape != scores.shape or targets.ndim != 2:
        raise EvaluationError(f"`targets` {targets.shape} and `scores` {scores.shape} must both be (N, C)")
