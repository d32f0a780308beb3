"""Measure the newest or best checkpoints of runs, on the same clips for every seed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.audit.journal import CheckJournal
from audio_dcls.data.audit.report_file import write_report
from audio_dcls.data.audit.rules import AuditRules, judge
from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.samples import Batch, ClipDataset
from audio_dcls.data.loading.teacher_logits import TeacherWriter
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.dcls import freeze
from audio_dcls.errors import EvaluationError
from audio_dcls.evaluation import Predictions, TaggingMetrics, id_hash, predict, tagging_metrics
from audio_dcls.evaluation.thresholds import FittedThresholds, fit_thresholds
from audio_dcls.labels import LabelSet
from audio_dcls.models.checkpoint import checkpoint as checkpoints
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint, load_checkpoint
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.find_run import expand_cases, find_runs, latest_study
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.scores import Evaluation, RunScores, StudyScores, write_per_class
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import build_dataset, load_manifests, select_splits

Progress = Callable[[int], object]
"""Called with the number of clips done since the last call."""


@dataclass(frozen=True)
class MeasureOptions:
    """Which checkpoints to measure on which clips, and what to store; `fit_thresholds` also names the split."""

    manifest: str | Path | None = None
    """Manifest, HDF5 file or pack to measure on; None: the study's own data."""
    splits: tuple[str, ...] = ()
    """Values of the `split` column; empty: the splits that the study's config names."""
    best: bool = False
    """Measure the checkpoint with the highest mAP on the validation splits, instead of the newest one."""
    save_logits: Path | None = None
    """HDF5 file for the logits of one run, to use as `distillation.file`."""
    fit_thresholds: str | None = None
    """Split to measure on and to fit a threshold per class on; the thresholds are stored in the checkpoints."""

    def __post_init__(self) -> None:
        if self.fit_thresholds is not None and self.splits:
            raise EvaluationError(
                f"`--split` (={self.splits[0]!r}) must be left out with `--fit-thresholds` "
                f"(={self.fit_thresholds!r}), which names the split itself"
            )

    @property
    def measured_splits(self) -> tuple[str, ...]:
        """The splits to measure on; empty: those of the study."""
        return self.splits if self.fit_thresholds is None else (self.fit_thresholds,)


def evaluate(
    paths: Sequence[str | Path] = (),
    options: MeasureOptions | None = None,
    *,
    progress: Callable[[Path], AbstractContextManager[Progress | None]] = lambda folder: contextlib.nullcontext(),
    on_scores: Callable[[StudyScores], object] = lambda scores: None,
) -> Evaluation:
    """Measure studies and runs: everything that `audio-dcls eval` does, apart from printing.

    Paths are study folders or seed-N folders; a study of several cases means all of its trained cases; without paths,
    the study that was written to last is measured. `progress` gives, for each measured folder, a context in which a
    progress callback is valid; `on_scores` is called with the scores of each study as soon as they are known. Raises
    `RunError` if a path is neither a study nor a run, and the errors of `measure_study`.
    """
    folders = [folder for path in paths or [latest_study().path] for folder in expand_cases(path)]
    measured = []
    for folder in folders:
        study, runs = find_runs(folder)
        with progress(folder) as on_progress:
            measured.append(measure_study(study, runs, options, on_progress=on_progress))
        on_scores(measured[-1])
    return Evaluation(tuple(measured), tuple(folders))


def measure_study(
    study: StudyDir,
    runs: Sequence[RunDir],
    options: MeasureOptions | None = None,
    *,
    on_progress: Progress | None = None,
    on_predictions: Callable[[RunDir, Predictions, ClipDataset], None] | None = None,
) -> StudyScores:
    """Evaluate one checkpoint of each run, and write its `eval/per_class.csv`.

    By default the newest checkpoints are measured, on the study's own data. `on_predictions` is called with each run,
    its predictions, and the clips that were predicted. Raises `EvaluationError` if there is no clip to measure on, a
    run has other classes than the study, the logits of several runs are to go to one file, or thresholds are to be
    fitted on clips of the training; `RunError`, `CheckpointError` or `ManifestError` if something cannot be read.
    """
    options = options or MeasureOptions()
    if options.save_logits is not None and len(runs) != 1:
        raise EvaluationError(
            f"the logits of {len(runs)} runs do not fit into one file '{options.save_logits}'; name one seed-N folder"
        )
    loaded = [(run, load_checkpoint(run.model_folder(best=options.best) / MODEL_FILE)) for run in runs]
    labels = loaded[0][1].labels
    clips = _find_clips(study, labels, options)
    measured = []
    for run, checkpoint in loaded:
        if checkpoint.labels.ids != labels.ids:
            raise EvaluationError(
                f"run '{run.path}' has other classes than '{runs[0].path}'; measure each of them on its own"
            )
        predictions = _predict(checkpoint, clips, options.save_logits, on_progress)
        if on_predictions is not None:
            on_predictions(run, predictions, clips.dataset)
        measured.append(_score_run(run, checkpoint, predictions, clips, options))
    return StudyScores(
        study=study.path,
        labels=labels,
        runs=tuple(measured),
        num_listed=len(clips.listed),
        num_evaluated=len(clips.usable),
        id_hash=id_hash(clip.id for clip in clips.usable),
        fold=None if options.manifest is not None or options.measured_splits else clips.config.data.fold,
    )


@dataclass(frozen=True, eq=False)
class _EvaluationClips:
    """The clips that every run of a study is measured on: those listed, and those that can be read."""

    config: TrainConfig
    listed: ClipTable
    dataset: ClipDataset

    @property
    def usable(self) -> ClipTable:
        return self.dataset.clips


def _find_clips(study: StudyDir, labels: LabelSet, options: MeasureOptions) -> _EvaluationClips:
    config = study.config()
    rows = load_manifests(config.data) if options.manifest is None else load_manifest(options.manifest, labels)
    if rows.labels.ids != labels.ids:
        raise EvaluationError(
            f"study '{study.path}' was trained on other classes than its data has now; "
            "restore the label file, or name a manifest by --manifest"
        )
    splits = options.measured_splits or config.data.measured_splits()
    if options.fit_thresholds is not None and options.manifest is None:
        _check_untrained(study, config, rows, splits)
    listed = select_splits(rows.table, splits)
    if not len(listed):
        raise EvaluationError(
            f"manifest '{rows.source}' has no clip of split {list(splits)}; its splits are "
            f"{sorted(rows.splits())}: name one by --split"
        )
    usable = _usable_clips(study, config, rows, listed, options.manifest)
    uncached = config.model_copy(update={"data": config.data.model_copy(update={"cache": "none"})})
    return _EvaluationClips(config, listed, build_dataset(uncached, usable, len(labels)))


def _check_untrained(study: StudyDir, config: TrainConfig, rows: Manifest, splits: Sequence[str]) -> None:
    """Refuse to fit thresholds on clips of the training."""
    trained = config.data.split_names(rows.splits(), rows.source).train
    named = [split for split in splits if split in trained]
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
        previous=CheckJournal(report_path).known_reports(),
        trust_packs=True,
    )
    report = judge(found, AuditRules(duplicates=config.data.duplicates, sides=(listed.split_names,)))
    if manifest is not None:
        write_report(report, report_path)
    if not report.usable:
        raise EvaluationError(f"not one of the {len(listed)} clips of '{rows.source}' can be used; see '{report_path}'")
    return report.usable


def _predict(
    checkpoint: LoadedCheckpoint, clips: _EvaluationClips, save_logits: Path | None, on_progress: Progress | None
) -> Predictions:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = clips.config
    loader = eval_loader(clips.dataset, config.loop.eval_batch, num_workers=config.data.num_workers)
    file = contextlib.nullcontext() if save_logits is None else TeacherWriter(save_logits, len(checkpoint.labels))
    with file as writer:
        return predict(
            freeze(checkpoint.model).to(device),
            _counted(loader, on_progress),
            device,
            activation=checkpoint.activation,
            on_logits=None
            if writer is None
            else lambda indices, logits: writer.write(clips.usable.ids.take(indices).to_list(), logits),
        )


def _score_run(
    run: RunDir,
    checkpoint: LoadedCheckpoint,
    predictions: Predictions,
    clips: _EvaluationClips,
    options: MeasureOptions,
) -> RunScores:
    """Compute the scores of a run, write the scores per class, and store fitted thresholds in the checkpoint."""
    clip_ids = clips.usable.ids.take(predictions.indices).to_list()
    metrics = tagging_metrics(predictions.targets, predictions.scores, clip_ids)
    name = "per_class.csv" if options.manifest is None else f"per_class_{Path(options.manifest).stem}.csv"
    write_per_class(run.eval_folder / name, metrics, checkpoint.labels)
    is_own = options.manifest is None and not options.measured_splits and not clips.config.data.validation_splits
    # A checkpoint that was written between two evaluations has no metrics.
    trained_hash = (checkpoint.info.get("metrics") or {}).get("clip_id_hash") if is_own else None
    fitted = None
    if options.fit_thresholds is not None:
        fitted = _fit_thresholds(checkpoint.path, predictions, metrics, clips.listed, options.manifest)
    return RunScores(run.seed, checkpoint.path, run.eval_folder / name, metrics, trained_hash, fitted)


def _fit_thresholds(
    path: Path, predictions: Predictions, metrics: TaggingMetrics, listed: ClipTable, manifest: str | Path | None
) -> FittedThresholds:
    """Fit thresholds, and store them in the checkpoint with the name of the data that they were fitted on."""
    fitted = fit_thresholds(predictions.targets, predictions.scores)
    split = "+".join(sorted({listed.split_names[code] for code in np.unique(listed.split_codes)}))
    split = split if manifest is None else f"{split} of {Path(manifest).name}"
    checkpoints.store_thresholds(path, fitted.values, split=split, clip_id_hash=metrics.clip_id_hash)
    return fitted


def _counted(loader: Any, on_progress: Progress | None) -> Iterator[Batch]:
    for batch in loader:
        yield batch
        if on_progress is not None:
            on_progress(len(batch.indices) + len(batch.failures))
