"""Measure a tagger in a backend on a corpus, to see the loss of accuracy by int8 or another runtime.

Axis legend: N clips, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.errors import EvaluationError
from audio_dcls.evaluation import TaggingMetrics, tagging_metrics
from audio_dcls.inference.backends.backend import Backend
from audio_dcls.labels import LabelSet
from audio_dcls.runs.training_clips import select_splits

_CLIPS_PER_BATCH = 16


def measure_backend(
    backend: Backend,
    labels: LabelSet,
    manifest: str | Path,
    *,
    splits: tuple[str, ...] = (),
    sample_rate_hz: int,
    clip_samples: int,
    num_workers: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> TaggingMetrics:
    """Scores of a backend on the clips of a manifest, one window per clip; unreadable clips are left out.

    Without `splits`, values of the `split` column, every clip is measured. Clips are resampled to the backend's rate,
    and cut or padded to `clip_samples`. `on_progress` is called with the number of clips done since the last call.
    Raises `EvaluationError` if no clip can be measured; `ManifestError` if the manifest cannot be read.
    """
    rows = load_manifest(manifest, labels)
    clips = select_splits(rows.table, splits or rows.splits())
    if not len(clips):
        raise EvaluationError(
            f"manifest '{manifest}' has no clip of split {list(splits)}; its splits are {sorted(rows.splits())}"
        )
    dataset = ClipDataset(clips, num_classes=len(labels), sample_rate_hz=sample_rate_hz, clip_samples=clip_samples)
    ids, scores, targets = [], [], []
    for batch in eval_loader(dataset, _CLIPS_PER_BATCH, num_workers):
        if len(batch.indices):
            ids.extend(dataset.clips.ids.take(batch.indices.numpy()).to_list())
            scores.append(backend.run(batch.waveforms.numpy())[0])
            targets.append(batch.targets.numpy())
        if on_progress is not None:
            on_progress(len(batch.indices) + len(batch.failures))
    if not ids:
        raise EvaluationError(
            f"not one of the {len(clips)} clips of '{manifest}' can be read; `audio-dcls manifest check` says why"
        )
    return tagging_metrics(np.concatenate(targets), np.concatenate(scores), ids)
