"""Find the usable clips of a data config, and report on those that cannot be used."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from audio_dcls.data.audit.audit import audit_clips
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.rules import AuditRules
from audio_dcls.data.augment.config import build_augmentation
from audio_dcls.data.config import DataConfig
from audio_dcls.data.demo import write_demo_corpus
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.manifest import Clip, Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.stores.mirror import shard_cache
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ConfigError, ManifestError
from audio_dcls.labels import LabelSet
from audio_dcls.runs.config import TrainConfig


@dataclass(frozen=True)
class TrainingClips:
    """Usable clips for training and evaluation, and their classes; kept as tables, as there may be millions."""

    labels: LabelSet
    train: ClipTable
    eval: ClipTable
    report: ClipReport
    validation: ClipTable = field(default_factory=lambda: ClipTable.from_clips(()))
    """Clips that decide which checkpoint is the best; empty if the config names no validation split."""


def load_manifests(config: DataConfig, on_progress: Callable[[int], None] | None = None) -> Manifest:
    """All manifest rows of a data config as one manifest.

    A configured demo corpus is written first; `on_progress` is called with the number of clips written since the last
    call. Raises `ConfigError` if no manifest is named; `ManifestError` if a manifest cannot be read, or two manifests
    have the same clip; `LabelError` if the label file cannot be read.
    """
    if config.demo_folder is not None:
        corpus = write_demo_corpus(
            Path(config.demo_folder),
            seed=config.demo_seed,
            num_train=config.demo_train_clips,
            num_eval=config.demo_eval_clips,
            on_progress=on_progress,
        )
        return load_manifest(corpus.manifest, LabelSet.from_csv(corpus.labels))
    if not config.manifests:
        raise ConfigError(
            "`data.manifests` is empty: name at least one manifest CSV, for example "
            "--set data.manifests=[audioset.csv]; `audio-dcls manifest --help` shows how to build one from a dataset"
        )
    labels = LabelSet.audioset() if config.labels == "audioset" else LabelSet.from_csv(config.labels)
    with shard_cache(config.shard_cache_gb):
        manifests = [load_manifest(path, labels) for path in config.manifests]
    return manifests[0] if len(manifests) == 1 else Manifest.concatenate(manifests)


def prepare_clips(
    config: DataConfig, manifest: Manifest, report_path: Path, *, on_progress: Callable[[int], None] | None = None
) -> TrainingClips:
    """Check every clip of the train, validation and eval splits, write the report, and keep the usable ones.

    Clips of a pack were decoded when they were packed, and are not read again. A training clip whose sound is also in a
    validation or evaluation split is left out. Files that have not changed since an earlier report, a CSV, are not read
    again. `on_progress` is called with the number of clips checked since the last call. Raises `ConfigError` if two
    keys name the same split, or the fold does not exist; `ManifestError` if a split has no row, or no usable clip.
    """
    names = config.split_names(manifest.splits(), manifest.source)
    sides = {"train_splits": names.train, "eval_splits": names.eval, "validation_splits": config.validation_splits}
    for first, second in itertools.combinations(sides, 2):
        both = set(sides[first]) & set(sides[second])
        if both:
            raise ConfigError(f"splits {sorted(both)} are both in `data.{first}` and `data.{second}`: leave one out")
    wanted = select_splits(manifest.table, set().union(*sides.values()))
    report = audit_clips(
        wanted,
        report_path,
        # If two sides have the same sound, the evaluation clip stays.
        rules=AuditRules(duplicates=config.duplicates, sides=(names.eval, config.validation_splits, names.train)),
        num_workers=config.num_workers,
        trust_packs=True,
        on_progress=on_progress,
    )
    usable = {}
    for key, splits in sides.items():
        usable[key] = select_splits(report.usable, splits)
        if splits and not usable[key]:
            listed = len(select_splits(wanted, splits))
            by_fold = config.fold is not None and key != "validation_splits"
            key, form = ("data.fold", "NUMBER") if by_fold else (f"data.{key}", "[NAME]")
            raise ManifestError(
                f"no usable clip for `{key}` (={list(splits)}) in '{manifest.source}': {listed} listed; "
                f"its splits are {sorted(manifest.splits())}: name those meant, such as --set {key}={form}; "
                f"why clips cannot be used is in '{report_path}'"
            )
    train, evaluation, validation = usable.values()
    return TrainingClips(manifest.labels, train, evaluation, report, validation)


def select_splits(table: ClipTable, names: Iterable[str]) -> ClipTable:
    """The clips of the named splits, in the table's order; names of other splits are ignored."""
    codes = [table.split_names.index(name) for name in names if name in table.split_names]
    return table.take(np.isin(table.split_codes, codes))


def build_dataset(
    config: TrainConfig, clips: Sequence[Clip], num_classes: int, *, augment_seed: int | None = None
) -> ClipDataset:
    """The dataset of clips for a run, augmented unless the seed is None, as for evaluation."""
    frontend, augmentation = config.frontend, None
    if augment_seed is not None:
        augmentation = build_augmentation(config.augment, frontend, augment_seed)
    return ClipDataset(
        clips,
        num_classes=num_classes,
        sample_rate_hz=frontend.sample_rate_hz,
        clip_samples=frontend.clip_samples,
        augmentation=augmentation,
        cache=config.data.cache,
        resample_quality=config.data.resample_quality,
    )
