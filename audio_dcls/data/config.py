"""Which clips a run trains and is measured on."""

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
    """Manifest CSV files, relative to the working directory; their rows are taken together."""
    labels: str = "audioset"
    """`audioset` for the 527 classes, or a class_labels_indices.csv file."""
    train_splits: tuple[str, ...] = ("train",)
    """Values of the manifests' `split` column to train on."""
    eval_splits: tuple[str, ...] = ("eval",)
    """Values of the manifests' `split` column to measure on."""
    fold: Annotated[int, pydantic.Field(ge=0)] | None = None
    """When set to N, measure on the split `foldN` and train on every other split named `fold` and a number; then
    `train_splits` and `eval_splits` are left as they are."""
    validation_splits: tuple[str, ...] = ()
    """Values of the manifests' `split` column to measure on while training, in place of the evaluation splits; the
    checkpoint that does best there is kept as `best`. None, as here: no checkpoint is picked, the last one counts."""
    demo_folder: str | None = None
    """When set, the demo corpus is written there (if it is not there yet) and takes the place of `manifests`."""
    demo_train_clips: Annotated[int, pydantic.Field(ge=1)] = 1100
    """Clips synthesised to train on; used with `demo_folder`."""
    demo_eval_clips: Annotated[int, pydantic.Field(ge=1)] = 300
    """Clips synthesised to measure on; used with `demo_folder`."""
    demo_seed: Annotated[int, pydantic.Field(ge=0)] = 0
    """Seed of the demo corpus; the runs' own seeds do not change it."""
    duplicates: Duplicates = "keep"
    """The same sound twice in what is trained on, or in what is measured on: `keep` both, or `drop` the later clip. A
    training clip whose sound is also measured on is left out either way."""
    resample_quality: ResampleQuality = "HQ"
    """How soxr resamples what is not at the model's rate: `QQ`, `LQ`, `MQ`, `HQ` or `VHQ`; `HQ` is exact to 20 bits."""
    num_workers: Annotated[int, pydantic.Field(ge=0)] = 4
    """Processes that decode and perturb clips; 0 does it in the training process."""
    cache: Literal["none", "memory"] = "none"
    """`memory` keeps decoded waveforms in RAM (1.3 MB a clip of 10 s): for small data."""
    order: Literal["random", "shards"] = "random"
    """`random` shuffles all clips uniformly, as in the paper. `shards` shuffles files, then clips within a buffer, so
    that few files are read at a time: for packs on object stores or slow disks."""
    shuffle_buffer: Annotated[int, pydantic.Field(ge=1)] = 4000
    """Clips that are mixed with each other; used with `order: shards`."""
    shard_cache_gb: Annotated[float, pydantic.Field(gt=0)] = 50.0
    """Most 10^9 bytes that the shards of each remote pack take on this machine; the shards not used for longest go
    first."""

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
        """The splits to train and to measure on.

        Args:
            available: names of the splits there are.
            source: where they come from, for messages.

        Raises:
            ConfigError: `fold` is given and is not there.
        """
        if self.fold is None:
            return SplitNames(train=self.train_splits, eval=self.eval_splits)
        return hold_out(self.fold, available, source)

    def measured_splits(self) -> tuple[str, ...]:
        """The splits to measure on, whether there are clips of them or not."""
        return self.eval_splits if self.fold is None else (fold_name(self.fold),)
