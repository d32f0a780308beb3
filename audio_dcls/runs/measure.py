"""Measure the newest checkpoints of a study's runs, on the same clips for every seed."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.audit.journal import CheckJournal, known_reports
from audio_dcls.data.audit.rules import AuditRules, judge
from audio_dcls.data.config import DataConfig
from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.samples import Batch, ClipDataset
from audio_dcls.data.loading.teacher_logits import TeacherWriter
from audio_dcls.data.manifest import Clip, Manifest
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.dcls import freeze
from audio_dcls.errors import EvaluationError
from audio_dcls.evaluation import (
    Predictions,
    SeedSummary,
    TaggingMetrics,
    id_hash,
    predict,
    summarise,
    tagging_metrics,
)
from audio_dcls.evaluation.thresholds import FittedThresholds, fit_thresholds
from audio_dcls.files import write_atomically
from audio_dcls.labels import LabelSet
from audio_dcls.models.checkpoint import checkpoint as checkpoints
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint, load_checkpoint
from audio_dcls.models.checkpoint.tensor_file import MODEL_FILE
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.run_dir import RunDir, StudyDir
from audio_dcls.runs.usable_clips import build_dataset, load_manifests, of_splits


@dataclass(frozen=True)
class RunScores:
    """Scores of one run."""

    seed: int
    checkpoint: Path
    per_class_path: Path
    metrics: TaggingMetrics
    trained_hash: str | None = None
    """`id_hash` of the clips the checkpoint was measured on while training; None where it does not say, or where
    others are meant."""
    thresholds: FittedThresholds | None = None
    """Those fitted on these clips and stored in the checkpoint, where this was asked for."""


@dataclass(frozen=True)
class StudyScores:
    """Scores of a study over its seeds."""

    study: Path
    labels: LabelSet
    runs: tuple[RunScores, ...]
    num_listed: int
    """Evaluation clips the manifest lists."""
    num_evaluated: int
    id_hash: str
    fold: int | None = None
    """The fold measured on, where the study's config names one."""

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
        """What a reader who compares these scores with those of the training has to know."""
        return tuple(
            f"seed {run.seed} was measured on other clips while training (id hash {run.trained_hash}, here "
            f"{run.metrics.clip_id_hash}): the two scores cannot be compared"
            for run in self.runs
            if run.trained_hash not in (None, run.metrics.clip_id_hash)
        )

    def summary(self) -> dict[str, SeedSummary]:
        """Mean and standard deviation over seeds of each score."""
        names = self.runs[0].metrics.scores()
        return {name: summarise([run.metrics.scores()[name] for run in self.runs]) for name in names}

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
            "summary": {
                name: {"mean": s.mean, "std": finite_or_none(s.std), "num_seeds": s.num_seeds}
                for name, s in self.summary().items()
            },
            "runs": [
                {
                    "seed": run.seed,
                    "checkpoint": str(run.checkpoint),
                    "per_class_csv": str(run.per_class_path),
                    "clip_id_hash": run.metrics.clip_id_hash,
                    **run.metrics.scores(),
                    **({} if run.thresholds is None else {"thresholds": run.thresholds.to_json_dict()}),
                }
                for run in self.runs
            ],
        }


def finite_or_none(value: float) -> float | None:
    """The value, or None for JSON, which has no NaN."""
    return value if math.isfinite(value) else None


def over_folds(studies: Sequence[StudyScores]) -> dict[str, SeedSummary] | None:
    """Mean and standard deviation over folds of each score, a fold's being its mean over seeds.

    Returns:
        None unless there are at least two studies, each of another fold and with the same scores.
    """
    folds = [study.fold for study in studies]
    summaries = [study.summary() for study in studies]
    if len(folds) < 2 or None in folds or len(set(folds)) < len(folds) or len({tuple(s) for s in summaries}) > 1:
        return None
    return {name: summarise([summary[name].mean for summary in summaries]) for name in summaries[0]}


def measure_study(
    study: StudyDir,
    runs: Sequence[RunDir],
    *,
    manifest: str | Path | None = None,
    splits: tuple[str, ...] = (),
    best: bool = False,
    save_logits: Path | None = None,
    fit: bool = False,
    on_progress: Callable[[int], None] | None = None,
    on_predictions: Callable[[RunDir, Predictions, ClipDataset], None] | None = None,
) -> StudyScores:
    """Evaluate the newest checkpoint of each run, or the best, and write `eval/per_class.csv` beside it.

    Args:
        study: gives the config.
        runs: runs to measure.
        manifest: what to measure on, as `Manifest.load` takes it; the study's own data if None.
        splits: values of the `split` column; the study's own if empty.
        best: take the checkpoint that did best on the validation splits.
        save_logits: HDF5 file to write the logits of one run to, for `distillation.file`.
        fit: fit a threshold for each class on these clips, and store them in the checkpoints.
        on_progress: called with the number of clips done since the last call.
        on_predictions: called with each run, its predictions, and the clips they are of, as the model hears them.

    Raises:
        EvaluationError: no clip to measure on, a run's classes are not the study's, several runs' logits for one file,
            or thresholds are to be fitted on clips that were trained on.
        RunError, CheckpointError, ManifestError: something cannot be read.
    """
    if save_logits is not None and len(runs) != 1:
        raise EvaluationError(
            f"the logits of {len(runs)} runs do not fit into one file '{save_logits}'; name one seed-N folder"
        )
    config = study.config()
    loaded = [(run, load_checkpoint(run.model_folder(best=best) / MODEL_FILE)) for run in runs]
    labels = loaded[0][1].labels
    rows = load_manifests(config.data) if manifest is None else Manifest.load(manifest, labels)
    _check_rows(rows, labels, study, config.data if fit and manifest is None else None, splits)
    is_own = manifest is None and not splits and not config.data.validation_splits
    listed = _listed_clips(rows, splits or config.data.measured_splits())
    usable = _usable_clips(study, config, rows, listed, manifest)
    uncached = config.model_copy(update={"data": config.data.model_copy(update={"cache": "none"})})
    dataset = build_dataset(uncached, usable, len(labels))
    measured = []
    for run, checkpoint in loaded:
        if checkpoint.labels.ids != labels.ids:
            raise EvaluationError(f"run '{run.path}' has other classes than '{runs[0].path}'; measure them apart")
        loader = eval_loader(dataset, config.loop.eval_batch, num_workers=config.data.num_workers)
        predictions = _predict(checkpoint, _counted(loader, on_progress), usable, save_logits)
        if on_predictions is not None:
            on_predictions(run, predictions, dataset)
        clip_ids = dataset.clips.ids.take(predictions.indices).to_list()
        metrics = tagging_metrics(predictions.targets, predictions.scores, clip_ids)
        trained_hash = _trained_hash(checkpoint.info) if is_own else None
        table = run.eval_folder / ("per_class.csv" if manifest is None else f"per_class_{Path(manifest).stem}.csv")
        write_per_class(table, metrics, labels)
        fitted = _fit(checkpoint.path, predictions, metrics, listed, manifest) if fit else None
        measured.append(RunScores(run.seed, checkpoint.path, table, metrics, trained_hash, fitted))
    return StudyScores(
        study=study.path,
        labels=labels,
        runs=tuple(measured),
        num_listed=len(listed),
        num_evaluated=len(usable),
        id_hash=id_hash(clip.id for clip in usable),
        fold=None if manifest is not None or splits else config.data.fold,
    )


def _check_rows(
    rows: Manifest, labels: LabelSet, study: StudyDir, fitted_on: DataConfig | None, splits: tuple[str, ...]
) -> None:
    """Refuse other classes than the model's and, where thresholds are fitted on a run's own data, trained clips."""
    if rows.labels.ids != labels.ids:
        raise EvaluationError(
            f"study '{study.path}' was trained on other classes than its data has now; "
            "restore the label file, or name a manifest by --manifest"
        )
    if fitted_on is None:
        return
    trained = fitted_on.split_names(rows.splits(), rows.source).train
    named = [split for split in splits or fitted_on.measured_splits() if split in trained]
    if named:
        raise EvaluationError(
            f"`--fit-thresholds` (={named[0]!r}) is a split that '{study.path}' was trained on, where scores are "
            f"higher than on new sounds; name one it was not trained on: {sorted(set(rows.splits()) - set(trained))}"
        )


def _usable_clips(
    study: StudyDir, config: TrainConfig, rows: Manifest, listed: ClipTable, manifest: str | Path | None
) -> ClipTable:
    report_path = study.report_path if manifest is None else study.path / f"clip_report_{Path(manifest).stem}.csv"
    found = check_clips(
        listed,
        num_workers=config.data.num_workers,
        previous=known_reports(report_path, CheckJournal(report_path)),
        trust_packs=True,
    )
    report = judge(found, AuditRules(duplicates=config.data.duplicates, sides=(listed.split_names,)))
    if manifest is not None:
        report.to_csv(report_path)
    if not report.usable:
        raise EvaluationError(f"none of the {len(listed)} clips of '{rows.source}' can be used; see '{report_path}'")
    return report.usable


def _predict(
    checkpoint: LoadedCheckpoint, batches: Iterator[Batch], usable: ClipTable, save_logits: Path | None
) -> Predictions:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with contextlib.ExitStack() as stack:
        sink = None
        if save_logits is not None:
            sink = stack.enter_context(TeacherWriter(save_logits, len(checkpoint.labels)))
        return predict(
            freeze(checkpoint.model).to(device),
            batches,
            device,
            activation=checkpoint.activation,
            on_logits=None if sink is None else functools.partial(_store, sink, usable),
        )


def _fit(
    path: Path, predictions: Predictions, metrics: TaggingMetrics, listed: ClipTable, manifest: str | Path | None
) -> FittedThresholds:
    """Fit thresholds, and store them in the checkpoint with the name of what they were fitted on."""
    fitted = fit_thresholds(predictions.targets, predictions.scores)
    split = "+".join(sorted({listed.split_names[code] for code in np.unique(listed.split_codes)}))
    split = split if manifest is None else f"{split} of {Path(manifest).name}"
    checkpoints.store_thresholds(path, fitted.values, split=split, clip_id_hash=metrics.clip_id_hash)
    return fitted


def write_per_class(path: Path, metrics: TaggingMetrics, labels: LabelSet) -> None:
    """Write one CSV row a class: index, mid, name, positives, average precision, AUC, d'; empty where left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines: list[tuple[str, ...]] = [
        ("index", "mid", "display_name", "num_positives", "average_precision", "auc", "d_prime")
    ]
    for c, (mid, name) in enumerate(zip(labels.ids, labels.names, strict=True)):
        values = (metrics.average_precision[c], metrics.auc[c], metrics.d_prime[c])
        texts = ["" if math.isnan(value) else f"{value:.6f}" for value in values]
        lines.append((str(c), mid, name, str(metrics.num_positives[c]), *texts))
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    write_atomically(path, buffer.getvalue().encode())


def _listed_clips(manifest: Manifest, splits: tuple[str, ...]) -> ClipTable:
    listed = of_splits(manifest.table, splits)
    if not len(listed):
        raise EvaluationError(
            f"manifest '{manifest.source}' has no clip of split {list(splits)}; its splits are "
            f"{sorted(manifest.splits())}: name one by --split"
        )
    return listed


def _trained_hash(info: dict[str, Any]) -> str | None:
    """Of the checkpoint's last evaluation, which a checkpoint between two evaluations does not have."""
    return (info.get("metrics") or {}).get("clip_id_hash")


def _store(writer: TeacherWriter, clips: Sequence[Clip], indices: np.ndarray, logits: np.ndarray) -> None:
    writer.write([clips[index].id for index in indices], logits)


def _counted(loader: Any, on_progress: Callable[[int], None] | None) -> Iterator[Batch]:
    for batch in loader:
        yield batch
        if on_progress is not None:
            on_progress(len(batch.indices) + len(batch.failures))
