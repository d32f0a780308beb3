"""Pairs of classes that occur together in clips.

Axes: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from audio_dcls.labels import LabelSet

PAIRS_IN_JSON = 100


class ClassPair(NamedTuple):
    """Two classes that occur together."""

    first: int
    second: int
    num_clips: int
    share: float
    """Share of the clips of the rarer class, 0 to 1."""


def class_pairs(together: np.ndarray, top_k: int) -> list[ClassPair]:
    """The pairs of classes that occur together in the most clips, most frequent first.

    Args:
        together: (C, C), from `co_occurrence`.
        top_k: largest number of pairs.

    >>> class_pairs(np.array([[4, 2, 0], [2, 3, 0], [0, 0, 1]]), 5)
    [ClassPair(first=0, second=1, num_clips=2, share=0.6666666666666666)]
    """
    rows, columns = np.nonzero(np.triu(together, k=1))
    counts = together[rows, columns]
    order = np.argsort(-counts, kind="stable")[:top_k]
    totals = np.diag(together)
    return [
        ClassPair(int(a), int(b), int(count), float(count / min(totals[a], totals[b])))
        for a, b, count in zip(rows[order], columns[order], counts[order], strict=True)
    ]


def pair_values(pairs: Sequence[ClassPair], labels: LabelSet) -> list[dict[str, Any]]:
    """Plain values for JSON, with the identifiers of the classes."""
    return [
        {
            "first": labels.ids[pair.first],
            "second": labels.ids[pair.second],
            "num_clips": pair.num_clips,
            "share": pair.share,
        }
        for pair in pairs
    ]
