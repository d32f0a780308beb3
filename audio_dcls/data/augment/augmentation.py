"""The interfaces of an augmentation, and all augmentations of a run as one object.

Axes: B clips of a batch, T samples, N frequency bins of the linear spectrogram, M mels, F frames.

A worker process draws the random numbers of a clip and changes its waveform; the training device changes the
spectrograms of a whole batch. Every augmentation draws from its own generator, counted by (seed, epoch, clip index), so
one that is added or turned off does not change the draws of another.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from audio_dcls.counted_random import counted_rng

Stage = Literal["power", "mel"]
"""`power`: the linear power spectrogram (B, N, F), before the mel filter; `mel`: the normalised mel spectrogram
(B, 1, M, F) that the backbone is given."""


class SpectrogramSize(NamedTuple):
    """The sizes of both spectrograms of a clip."""

    num_bins: int
    num_mels: int
    num_frames: int


class WaveformAugmentation(Protocol):
    """A random change of one waveform."""

    name: ClassVar[str]
    """Stream of its random numbers."""

    @property
    def is_on(self) -> bool:
        """False if the config turns it off; it is then left out."""
        ...

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw and apply: (T,) float32 to (T,) float32; the array passed in stays unchanged."""
        ...


class SpectrogramAugmentation(Protocol):
    """A random change of spectrograms: a worker draws for a clip, the training device applies the draws of a batch."""

    name: ClassVar[str]
    """Stream of its random numbers, and key of its draws in a batch."""
    stage: ClassVar[Stage]
    """The spectrogram that it changes."""

    @property
    def is_on(self) -> bool:
        """False if the config turns it off; it is then left out."""
        ...

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw the numbers of one clip, an array of the same shape for every clip."""
        ...

    def apply(self, spectrogram: Tensor, draws: Tensor) -> Tensor:
        """Change a batch of spectrograms by the stacked draws (B, ...); returns a new tensor."""
        ...


class Augmentation:
    """Every random change of the clips of one run, mixup excepted, in the order in which they are applied."""

    def __init__(
        self,
        seed: int,
        waveform: Sequence[WaveformAugmentation] = (),
        spectrogram: Sequence[SpectrogramAugmentation] = (),
    ) -> None:
        self.seed = seed
        self.waveform = tuple(waveform)
        self.spectrogram = tuple(spectrogram)

    def change_waveform(self, waveform: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """Draw and apply the changes of one waveform (T,); may return the array passed in."""
        for one in self.waveform:
            waveform = one(waveform, counted_rng(self.seed, epoch, index, stream=one.name))
        return waveform

    def draw(self, epoch: int, index: int) -> dict[str, Tensor]:
        """Draw the changes of one clip's spectrograms; returns the draws by the augmentation's name."""
        return {
            one.name: torch.from_numpy(one.draw(counted_rng(self.seed, epoch, index, stream=one.name)))
            for one in self.spectrogram
        }

    def at_stage(self, stage: Stage, draws: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor] | None:
        """Return the function that changes a batch at a stage by its draws, or None if nothing changes there."""
        due = [one for one in self.spectrogram if one.stage == stage and one.name in draws]

        def change(spectrogram: Tensor) -> Tensor:
            return functools.reduce(lambda changed, one: one.apply(changed, draws[one.name]), due, spectrogram)

        return change if due else None
