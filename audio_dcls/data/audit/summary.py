"""The summary of an audit: coverage of splits and classes, kinds of problems, and classes that occur together.

Axes: S splits, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from audio_dcls.data.audit.report import ClipReport, Coverage
from audio_dcls.data.table.clip_set import id_hash
from audio_dcls.data.table.label_matrix import class_counts, co_occurrence
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
    """The `top_k` pairs of classes that occur together in the most clips, from `co_occurrence` (C, C).

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
    ids = labels.ids
    return [pair._asdict() | {"first": ids[pair.first], "second": ids[pair.second]} for pair in pairs]


@dataclass(frozen=True)
class SplitSummary:
    """One split of an audited manifest."""

    coverage: Coverage
    usable_s: float
    """Seconds of sound in its usable clips, as far as they were decoded."""
    clip_id_hash: str
    """`id_hash` of its usable clips; a score measured on them carries the same hash."""
    faults: Mapping[str, int]
    """Number of clips excluded by each kind of fault."""
    warnings: Mapping[str, int]
    """Number of usable clips with each kind of warning; a clip may have several."""
    class_listed: np.ndarray
    class_usable: np.ndarray
    """(C,) numbers of clips and of usable clips per class."""


@dataclass(frozen=True)
class AuditSummary:
    """The numbers of an audit."""

    source: str
    labels: LabelSet
    splits: Mapping[str, SplitSummary]
    co_occurrence: np.ndarray
    """(C, C) number of usable clips of all splits with both classes; on the diagonal, with the class."""

    @property
    def coverage(self) -> Coverage:
        """Coverage of all splits together."""
        parts = [split.coverage for split in self.splits.values()]
        return Coverage(sum(part.num_listed for part in parts), sum(part.num_usable for part in parts))

    def faults(self) -> dict[str, int]:
        """Number of clips excluded by each kind of fault, the most frequent kind first."""
        return _sum_counts(split.faults for split in self.splits.values())

    def warnings(self) -> dict[str, int]:
        """Number of usable clips with each kind of warning, the most frequent kind first."""
        return _sum_counts(split.warnings for split in self.splits.values())

    def class_listed(self) -> np.ndarray:
        """(C,) number of clips per class over all splits."""
        return sum((split.class_listed for split in self.splits.values()), np.zeros(len(self.labels), dtype=np.int64))

    def class_usable(self) -> np.ndarray:
        """(C,) number of usable clips per class over all splits."""
        return sum((split.class_usable for split in self.splits.values()), np.zeros(len(self.labels), dtype=np.int64))

    def class_pairs(self, top_k: int) -> list[ClassPair]:
        """The pairs of classes that occur together in the most usable clips, `top_k` at most."""
        return class_pairs(self.co_occurrence, top_k)

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without single clips."""
        classes = zip(self.labels.ids, self.labels.names, strict=True)
        return {
            "manifest": self.source,
            "num_listed": self.coverage.num_listed,
            "num_usable": self.coverage.num_usable,
            "splits": {
                name: {
                    **asdict(split.coverage),
                    "fraction": split.coverage.fraction,
                    "usable_hours": split.usable_s / 3600,
                    "clip_id_hash": split.clip_id_hash,
                    "faults": dict(split.faults),
                    "warnings": dict(split.warnings),
                }
                for name, split in self.splits.items()
            },
            "faults": self.faults(),
            "warnings": self.warnings(),
            "classes": [
                {
                    "mid": mid,
                    "name": label,
                    "listed": {name: int(split.class_listed[c]) for name, split in self.splits.items()},
                    "usable": {name: int(split.class_usable[c]) for name, split in self.splits.items()},
                }
                for c, (mid, label) in enumerate(classes)
            ],
            "class_pairs": pair_values(self.class_pairs(PAIRS_IN_JSON), self.labels),
        }


def summarise_audit(report: ClipReport, labels: LabelSet, source: str) -> AuditSummary:
    """Summarise an audit of the manifest `source`; the clips need labels, which a report read from a file lacks."""
    splits = {}
    for name in report.table.split_sizes():
        is_of = report.table.split_codes == report.table.split_names.index(name)
        splits[name] = _summarise_split(report, is_of, len(labels))
    return AuditSummary(source, labels, splits, co_occurrence(report.usable, len(labels)))


def _sum_counts(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    counts = Counter[str]()
    for part in parts:
        counts.update(part)
    return dict(counts.most_common())


def _summarise_split(report: ClipReport, is_of: np.ndarray, num_classes: int) -> SplitSummary:
    outcomes = report.outcomes
    listed, usable = report.table.take(is_of), report.table.take(is_of & outcomes.is_usable)
    counts = np.bincount(outcomes.records["reason"][is_of], minlength=len(outcomes.reason_names)).tolist()
    reasons = zip(outcomes.reason_names, counts, strict=True)
    warnings = Counter(warning.reason for warning in report.clip_warnings if is_of[warning.index])
    durations_s = outcomes.duration_s[is_of & outcomes.is_usable]
    return SplitSummary(
        coverage=Coverage(len(listed), len(usable)),
        usable_s=float(durations_s[durations_s > 0].sum()),
        clip_id_hash=id_hash(usable.ids),
        faults={reason: count for reason, count in reasons if reason and count},
        warnings=dict(warnings),
        class_listed=class_counts(listed, num_classes),
        class_usable=class_counts(usable, num_classes),
    )
