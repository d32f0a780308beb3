"""Which clips a run trains and is measured on."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

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
    demo_folder: str | None = None
    """When set, the demo corpus is written there (if it is not there yet) and takes the place of `manifests`."""
    demo_train_clips: Annotated[int, pydantic.Field(ge=1)] = 800
    """Clips synthesised to train on; used with `demo_folder`."""
    demo_eval_clips: Annotated[int, pydantic.Field(ge=1)] = 300
    """Clips synthesised to measure on; used with `demo_folder`."""
    demo_seed: Annotated[int, pydantic.Field(ge=0)] = 0
    """Seed of the demo corpus; the runs' own seeds do not change it."""
    num_workers: Annotated[int, pydantic.Field(ge=0)] = 4
    """Processes that decode and perturb clips; 0 does it in the training process."""
    cache: Literal["none", "memory"] = "none"
    """`memory` keeps decoded waveforms in RAM (1.3 MB a clip of 10 s): for small data."""
