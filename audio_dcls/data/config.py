"""Config: the clips that a run is trained and measured on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import pydantic

from audio_dcls.data.audit.problems import Duplicates
from audio_dcls.data.sound.decode import ResampleQuality
from audio_dcls.data.table.folds import SplitNames, fold_name, hold_out
from audio_dcls.settings import Settings


class DataConfig(Settings):
    """Manifests, splits and how clips are loaded."""

    manifests: tuple[str, ...] = ()
    """Manifests, relative to the working directory; their clips are joined."""
    labels: str = "audioset"
    """`audioset` for the 527 classes, or a class_labels_indices.csv file."""
    train_splits: tuple[str, ...] = ("train",)
    """Values of the manifests' `split` column to train on."""
    eval_splits: tuple[str, ...] = ("eval",)
    """Values of the manifests' `split` column to measure on."""
    fold: Annotated[int, pydantic.Field(ge=0)] | None = None
    """If N: measure on the split `foldN`, and train on every other split named `fold` and a number. Then leave
    `train_splits` and `eval_splits` at their defaults."""
    validation_splits: tuple[str, ...] = ()
    """Values of the manifests' `split` column to measure on during training, instead of the evaluation splits; the
    checkpoint with the best score there is kept as `best`. If empty, no checkpoint is chosen, and the last one
    counts."""
    demo_folder: str | None = None
    """If given, the demo corpus is written there (unless it exists) and is used instead of `manifests`."""
    demo_train_clips: Annotated[int, pydantic.Field(ge=1)] = 1100
    """Number of clips synthesised for training; used with `demo_folder`."""
    demo_eval_clips: Annotated[int, pydantic.Field(ge=1)] = 300
    """Number of clips synthesised for measuring; used with `demo_folder`."""
    demo_seed: Annotated[int, pydantic.Field(ge=0)] = 0
    """Seed of the demo corpus; the seeds of the runs do not change it."""
    duplicates: Duplicates = "keep"
    """If the same sound occurs twice in the training clips, or twice in the clips measured on: `keep` both, or `drop`
    the later clip. A training clip whose sound is also measured on is always left out."""
    resample_quality: ResampleQuality = "HQ"
    """Quality at which soxr resamples sounds that are not at the rate of the model: `QQ`, `LQ`, `MQ`, `HQ` or `VHQ`;
    `HQ` is exact to 20 bits."""
    num_workers: Annotated[int, pydantic.Field(ge=0)] = 4
    """Processes that decode and augment clips; 0 does both in the training process."""
    cache: Literal["none", "memory"] = "none"
    """`memory` keeps decoded waveforms in RAM (1.3 MB per clip of 10 s): for small datasets."""
    order: Literal["random", "shards"] = "random"
    """`random` shuffles all clips uniformly, as in the paper. `shards` shuffles files, then clips within a buffer, so
    that few files are read at a time: for packs on object stores or slow disks."""
    shuffle_buffer: Annotated[int, pydantic.Field(ge=1)] = 4000
    """Number of clips that are shuffled together; used with `order: shards`."""
    shard_cache_gb: Annotated[float, pydantic.Field(gt=0)] = 50.0
    """Limit on the size, in 10^9 bytes, of the shards of each remote pack that are kept on this machine; the shards
    unused for the longest time are deleted first."""

    @pydantic.model_validator(mode="after")
    def _check_fold(self) -> DataConfig:
        if self.fold is None:
            return self
        for key in ("train_splits", "eval_splits"):
            default = DataConfig.model_fields[key].default
            if getattr(self, key) != default:
                raise ValueError(
                    f"`{key}` (={list(getattr(self, key))}) must be left at {list(default)} when `fold` "
                    f"(={self.fold}) is given, which chooses the splits itself: leave one of the two out"
                )
        if self.demo_folder is not None:
            raise ValueError(f"`fold` (={self.fold}) must be left out with `demo_folder`: the demo corpus has no folds")
        return self

    def split_names(self, available: Iterable[str], source: str) -> SplitNames:
        """The splits for training and for measuring, among the `available` splits of `source`.

        Raise a ConfigError if `fold` is given and does not exist.
        """
        if self.fold is None:
            return SplitNames(train=self.train_splits, eval=self.eval_splits)
        return hold_out(self.fold, available, source)

    def measured_splits(self) -> tuple[str, ...]:
        """The splits to measure on, even if they have no clips."""
        return self.eval_splits if self.fold is None else (fold_name(self.fold),)
