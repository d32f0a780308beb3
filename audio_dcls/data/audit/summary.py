"""What an audit comes to: coverage of splits and classes, kinds of faults, classes that go together, names of sets.

Axes: S splits, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audio_dcls.data.audit.class_pairs import PAIRS_IN_JSON, ClassPair, class_pairs, pair_values
from audio_dcls.data.audit.report import ClipReport, Coverage
from audio_dcls.data.table.clip_set import id_hash
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.label_matrix import class_counts, co_occurrence
from audio_dcls.labels import LabelSet


@dataclass(frozen=True)
class SplitSummary:
    """One split of an audited manifest."""

    coverage: Coverage
    usable_s: float
    """Seconds of sound in its usable clips, of those that were decoded."""
    clip_id_hash: str
    """`id_hash` of its usable clips, as a score on them carries it."""
    faults: Mapping[str, int]
    """Clips that each kind leaves out."""
    warnings: Mapping[str, int]
    """Usable clips that each kind warns of; a clip may have several."""
    class_listed: np.ndarray
    """(C,) clips of each class."""
    class_usable: np.ndarray
    """(C,) usable clips of each class."""


@dataclass(frozen=True)
class AuditSummary:
    """The numbers of an audit."""

    source: str
    labels: LabelSet
    splits: Mapping[str, SplitSummary]
    co_occurrence: np.ndarray
    """(C, C) usable clips of all splits that have both classes; on the diagonal, that have the class."""

    @property
    def coverage(self) -> Coverage:
        """Of all splits together."""
        parts = [split.coverage for split in self.splits.values()]
        return Coverage(sum(part.num_listed for part in parts), sum(part.num_usable for part in parts))

    def faults(self) -> dict[str, int]:
        """Clips that each kind leaves out, the most frequent kind first."""
        counts = Counter[str]()
        for split in self.splits.values():
            counts.update(split.faults)
        return dict(counts.most_common())

    def warnings(self) -> dict[str, int]:
        """Usable clips that each kind warns of, the most frequent kind first."""
        counts = Counter[str]()
        for split in self.splits.values():
            counts.update(split.warnings)
        return dict(counts.most_common())

    def class_listed(self) -> np.ndarray:
        """(C,) clips of each class over all splits."""
        return sum((split.class_listed for split in self.splits.values()), np.zeros(len(self.labels), dtype=np.int64))

    def class_usable(self) -> np.ndarray:
        """(C,) usable clips of each class over all splits."""
        return sum((split.class_usable for split in self.splits.values()), np.zeros(len(self.labels), dtype=np.int64))

    def class_pairs(self, top_k: int) -> list[ClassPair]:
        """The pairs of classes that most usable clips have both of.

        Args:
            top_k: pairs at most.
        """
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
    """The numbers of an audit.

    Args:
        report: its clips have their labels, so it is not one that was read from a file.
        labels: what their label indices mean.
        source: the manifest's name.
    """
    splits = {}
    for name in report.table.split_sizes():
        is_of = report.table.split_codes == report.table.split_names.index(name)
        splits[name] = _summarise_split(report, is_of, len(labels))
    return AuditSummary(source, labels, splits, co_occurrence(report.usable, len(labels)))


def _summarise_split(report: ClipReport, is_of: np.ndarray, num_classes: int) -> SplitSummary:
    outcomes = report.outcomes
    listed, usable = _taken(report.table, is_of), _taken(report.table, is_of & outcomes.is_usable)
    counts = np.bincount(outcomes.reason_codes[is_of], minlength=len(outcomes.reason_names)).tolist()
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


def _taken(table: ClipTable, mask: np.ndarray) -> ClipTable:
    return table.take(np.flatnonzero(mask))
