"""Scores of runs, of a study over its seeds, and of several studies."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio_dcls.evaluation import SeedSummary, TaggingMetrics, summarise
from audio_dcls.evaluation.thresholds import FittedThresholds
from audio_dcls.files import write_atomically
from audio_dcls.labels import LabelSet


@dataclass(frozen=True)
class RunScores:
    """Scores of one run."""

    seed: int
    checkpoint: Path
    per_class_path: Path
    metrics: TaggingMetrics
    trained_hash: str | None = None
    """`id_hash` of the clips that the checkpoint was measured on during training; None if it is not recorded, or if
    other clips are measured on purpose."""
    thresholds: FittedThresholds | None = None
    """Thresholds that were fitted on these clips and stored in the checkpoint, if that was requested."""


@dataclass(frozen=True)
class StudyScores:
    """Scores of a study over its seeds."""

    study: Path
    labels: LabelSet
    runs: tuple[RunScores, ...]
    num_listed: int
    """Evaluation clips that the manifest lists."""
    num_evaluated: int
    id_hash: str
    fold: int | None = None
    """The fold that was measured on, if the study's config names one."""

    @property
    def coverage(self) -> float:
        """Share of the listed clips that were measured, 0 to 1."""
        return self.num_evaluated / self.num_listed

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of the classes left out of every mean."""
        return tuple(self.labels.names[c] for c in self.runs[0].metrics.left_out)

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings for a reader who compares these scores with those of the training."""
        return tuple(
            f"seed {run.seed} was measured on other clips during training (id hash {run.trained_hash}, here "
            f"{run.metrics.clip_id_hash}): the two scores cannot be compared"
            for run in self.runs
            if run.trained_hash not in (None, run.metrics.clip_id_hash)
        )

    def summary(self) -> dict[str, SeedSummary]:
        """Mean and standard deviation over seeds of each score."""
        names = self.runs[0].metrics.scores
        return {name: summarise([run.metrics.scores[name] for run in self.runs]) for name in names}

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "study": str(self.study),
            **({} if self.fold is None else {"fold": self.fold}),
            "num_clips_listed": self.num_listed,
            "num_clips": self.num_evaluated,
            "coverage": self.coverage,
            "clip_id_hash": self.id_hash,
            "num_classes": len(self.labels),
            "classes_left_out": list(self.left_out),
            "notes": list(self.notes),
            "summary": {name: {**_plain(s), "num_seeds": s.num_seeds} for name, s in self.summary().items()},
            "runs": [
                {
                    "seed": run.seed,
                    "checkpoint": str(run.checkpoint),
                    "per_class_csv": str(run.per_class_path),
                    "clip_id_hash": run.metrics.clip_id_hash,
                    **run.metrics.scores,
                    **({} if run.thresholds is None else {"thresholds": run.thresholds.to_json_dict()}),
                }
                for run in self.runs
            ],
        }


@dataclass(frozen=True)
class Evaluation:
    """Scores of several studies, or cases of a study, measured in one call."""

    studies: tuple[StudyScores, ...]
    folders: tuple[Path, ...]
    """The folder that was named for each study: the study's own, or that of one of its runs."""

    def over_folds(self) -> dict[str, SeedSummary] | None:
        """Mean and standard deviation of each score over the folds, as `over_folds` computes them."""
        return over_folds(self.studies)

    def clip_sets(self) -> dict[str, list[Path]]:
        """The folders by the hash of the clips they were measured on; scores of different sets cannot be compared."""
        sets: dict[str, list[Path]] = {}
        for scores, folder in zip(self.studies, self.folders, strict=True):
            sets.setdefault(scores.id_hash, []).append(folder)
        return sets

    def to_json(self) -> Any:
        """Plain values for JSON: one study's object, or a list of them; with folds, an object that holds both."""
        documents = [scores.to_json_dict() for scores in self.studies]
        folds = self.over_folds()
        if folds is not None:
            means = {name: _plain(summary) for name, summary in folds.items()}
            return {"studies": documents, "over_folds": {"num_folds": len(documents), **means}}
        return documents if len(documents) > 1 else documents[0]


def over_folds(studies: Sequence[StudyScores]) -> dict[str, SeedSummary] | None:
    """Mean and standard deviation of each score over folds; the score of a fold is its mean over seeds.

    None unless there are at least two studies, each of another fold and with the same scores.
    """
    folds = [study.fold for study in studies]
    summaries = [study.summary() for study in studies]
    if len(folds) < 2 or None in folds or len(set(folds)) < len(folds) or len({tuple(s) for s in summaries}) > 1:
        return None
    return {name: summarise([summary[name].mean for summary in summaries]) for name in summaries[0]}


def write_per_class(path: Path, metrics: TaggingMetrics, labels: LabelSet) -> None:
    """Write a CSV row per class: index, mid, name, positives, then a column per metric; empty cells if left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines: list[tuple[str, ...]] = [("index", "mid", "display_name", "num_positives", *metrics.per_class)]
    for c, (mid, name) in enumerate(zip(labels.ids, labels.names, strict=True)):
        texts = ["" if math.isnan(values[c]) else f"{values[c]:.6f}" for values in metrics.per_class.values()]
        lines.append((str(c), mid, name, str(metrics.num_positives[c]), *texts))
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    write_atomically(path, buffer.getvalue().encode())


def _plain(summary: SeedSummary) -> dict[str, float | None]:
    """Mean and standard deviation for JSON, which has no NaN."""
    return {"mean": summary.mean, "std": summary.std if math.isfinite(summary.std) else None}
