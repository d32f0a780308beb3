"""Clips that a model is measured on: their labels, their scores, and their sound.

Axes: N clips, C classes, T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.table.label_matrix import class_counts
from audio_dcls.errors import NothingToShowError, RunError
from audio_dcls.evaluation import Predictions
from audio_dcls.labels import LabelSet
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint
from audio_dcls.runs.measure import measure_study
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, select_splits


@dataclass(frozen=True, eq=False)
class MeasuredClips:
    """Scores and targets of N clips over C classes."""

    labels: LabelSet
    clip_ids: Sequence[str]
    targets: np.ndarray
    """(N, C), 0 or 1."""
    scores: np.ndarray
    """(N, C), probabilities."""
    source: str
    """Description of these clips, for people."""
    sample_rate_hz: int
    waveform: Callable[[int], np.ndarray]
    """Gives a clip by its place: (T,) float32, as the model gets it."""
    train_counts: np.ndarray | None = None
    """(C,) training clips of each class, if known."""


def measure_clips(
    run: RunDir, loaded: LoadedCheckpoint, on_progress: Callable[[int], object] | None = None
) -> MeasuredClips:
    """Measure the newest checkpoint of a run on the run's own clips, like `measure_study`.

    `on_progress` gets the number of clips measured since its last call.
    """
    study = StudyDir(run.path.parent)
    config = study.config()
    demo = config.data.demo_folder
    if demo is not None and not Path(demo).is_dir():
        raise RunError(f"the corpus '{demo}' is not here; go to the folder that has it, or name sounds by --clips")
    measured: list[tuple[Predictions, ClipDataset]] = []
    measure_study(
        study, [run], on_progress=on_progress, on_predictions=lambda _, *predicted: measured.append(predicted)
    )
    ((predictions, dataset),) = measured
    rows = load_manifests(config.data)
    names = config.data.split_names(rows.splits(), rows.source)
    clips = dataset.clips.take(predictions.indices)

    def waveform(place: int) -> np.ndarray:
        sample = dataset[(0, int(predictions.indices[place]))]
        if "failure" in sample:
            raise NothingToShowError(sample["failure"].message)
        return sample["waveform"].numpy()

    return MeasuredClips(
        labels=loaded.labels,
        clip_ids=tuple(clips.ids.to_list()),
        targets=predictions.targets,
        scores=predictions.scores,
        source=f"{len(clips)} clips of split {'+'.join(names.eval)}",
        sample_rate_hz=loaded.frontend.sample_rate_hz,
        waveform=waveform,
        train_counts=class_counts(select_splits(rows.table, names.train), len(loaded.labels)),
    )
