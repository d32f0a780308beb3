"""Clips as training samples: decode, fit to one length, augment, and collate in batches.

Axes: b clips that could be read, T samples, C classes.

A clip that cannot be read never becomes silence and never stops a run: its sample carries the failure, and the batch
excludes the clip and lists the failure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from audio_dcls.data.audit.problems import ClipProblem
from audio_dcls.data.augment.augmentation import Augmentation
from audio_dcls.data.loading.cache import WaveformCache
from audio_dcls.data.sound.decode import ResampleQuality, check_resample_quality, fit_length
from audio_dcls.data.sources import read_clip_audio
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError, AudioFileError


class Sample(TypedDict):
    """One clip, ready for a batch."""

    index: int
    """Place of the clip in the dataset."""
    waveform: Tensor
    """(T,) float32."""
    target: Tensor
    """(C,) float32, 0 or 1."""
    draws: dict[str, Tensor]
    """Draws of the spectrogram augmentations, by their names."""


class FailedSample(TypedDict):
    """A clip that could not be read."""

    index: int
    failure: ClipProblem


@dataclass(frozen=True)
class Batch:
    """The clips of a micro-batch that could be read, and the failures of the others."""

    waveforms: Tensor
    """(b, T) float32."""
    targets: Tensor
    """(b, C) float32, 0 or 1."""
    indices: Tensor
    """(b,) int64, places of the clips in the dataset."""
    slots: Tensor
    """(b,) int64, ascending: places of the clips in the complete micro-batch, 0 .. b + failures - 1."""
    draws: dict[str, Tensor]
    """Draws (b, ...) of the spectrogram augmentations, by their names; empty if b is 0."""
    failures: tuple[ClipProblem, ...]
    """Clips that could not be read."""

    def __len__(self) -> int:
        return len(self.indices)

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory; the data loader calls this if it is to pin batches."""
        return self.map_tensors(Tensor.pin_memory)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device, copied in the background where memory is pinned."""
        return self.map_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with every tensor changed by a function."""
        fields = {name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **fields, draws={name: change(value) for name, value in self.draws.items()})


class ClipDataset(torch.utils.data.Dataset[Sample | FailedSample]):
    """Clips by (epoch, index), augmented by draws that depend on (seed, epoch, index) and nothing else.

    A clip is cut at `clip_samples` when it is decoded, zero-padded at its end, then augmented. So an hour-long file
    costs no more than a short one. A clip is a failure if all of it is silent, as in the audit: if only its first
    `clip_samples` are silent, it is used.

    Args:
        clips: the clips, kept as columns so that worker processes share them.
        num_classes: C, at least 1; every label index is below it.
        sample_rate_hz: rate to which the clips are resampled.
        clip_samples: T, length of every waveform, at least 1.
        augmentation: random changes of the clips, or None.
        cache: `memory` keeps the fitted waveforms, before augmentation, in memory shared by all workers.
        resample_quality: quality of soxr.

    Raises:
        ArgumentError: a number or a label is out of range, or the cache does not fit in memory.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        num_classes: int,
        sample_rate_hz: int,
        clip_samples: int,
        augmentation: Augmentation | None = None,
        cache: Literal["none", "memory"] = "none",
        resample_quality: ResampleQuality = "HQ",
    ) -> None:
        self.clips = clips if isinstance(clips, ClipTable) else ClipTable.from_clips(clips)
        self.num_classes = num_classes
        self.sample_rate_hz = sample_rate_hz
        self.clip_samples = clip_samples
        self.augmentation = augmentation
        self.resample_quality: ResampleQuality = resample_quality
        self.before_item: Callable[[int, int], None] | None = None
        """Called with epoch and index before a clip is read; fetches remote shards ahead."""
        self.in_progress: Any = None
        """An int64 array in shared memory: the clip that each worker of a loader loads, -1 before its first."""
        self._check(cache)
        self._cache = WaveformCache(len(self.clips), clip_samples) if cache == "memory" else None

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, item: tuple[int, int]) -> Sample | FailedSample:
        """The clip `item` = (epoch, index), or its failure."""
        epoch, index = item
        worker = torch.utils.data.get_worker_info()
        if worker is not None and self.in_progress is not None:
            self.in_progress[worker.id] = index
        if self.before_item is not None:
            self.before_item(epoch, index)
        clip = self.clips[index]
        with _name_in_errors(clip):
            try:
                waveform = self._waveform(index, clip)
            except AudioFileError as error:
                problem = ClipProblem(clip.id, clip.path, clip.split, error.reason, str(error))
                return FailedSample(index=index, failure=problem)
            changed, draws = waveform, {}
            if self.augmentation is not None:
                changed = self.augmentation.change_waveform(waveform, epoch, index)
                draws = self.augmentation.draw(epoch, index)
            if np.may_share_memory(changed, waveform):
                changed = changed.copy()  # the array may be a row of the cache
            waveform = torch.from_numpy(np.ascontiguousarray(changed))
            return Sample(index=index, waveform=waveform, target=self._target(clip), draws=draws)

    def collate(self, samples: Sequence[Sample | FailedSample]) -> Batch:
        """Collate samples; failures are excluded from the tensors and listed.

        Shape:
            The tensors of a batch without clips have length 0 and the usual shapes otherwise; it has no draws.
        """
        slots = [slot for slot, sample in enumerate(samples) if "failure" not in sample]
        failures = tuple(sample["failure"] for sample in samples if "failure" in sample)
        kept = [sample for sample in samples if "failure" not in sample]

        def stack(items: list[Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
            # In a worker, default_collate writes directly into shared memory.
            return torch.utils.data.default_collate(items) if items else torch.empty(0, *shape, dtype=dtype)

        return Batch(
            waveforms=stack([sample["waveform"] for sample in kept], (self.clip_samples,), torch.float32),
            targets=stack([sample["target"] for sample in kept], (self.num_classes,), torch.float32),
            indices=torch.tensor([sample["index"] for sample in kept], dtype=torch.int64),
            slots=torch.tensor(slots, dtype=torch.int64),
            draws=torch.utils.data.default_collate([sample["draws"] for sample in kept]) if kept else {},
            failures=failures,
        )

    def _waveform(self, index: int, clip: Clip) -> np.ndarray:
        waveform = self._cache.get(index) if self._cache is not None else None
        if waveform is None:
            last_s = (clip.start_s or 0.0) + self.clip_samples / self.sample_rate_hz
            end_s = last_s if clip.end_s is None else min(clip.end_s, last_s)
            segment = read_clip_audio(
                clip, sample_rate_hz=self.sample_rate_hz, end_s=end_s, resample_quality=self.resample_quality
            )
            waveform = fit_length(segment, self.clip_samples)
            if self._cache is not None:
                self._cache.put(index, waveform)
        return waveform

    def _target(self, clip: Clip) -> Tensor:
        target = torch.zeros(self.num_classes)
        target[list(clip.labels)] = 1.0
        return target

    def _check(self, cache: str) -> None:
        """Refuse bad settings here, in the calling process; in a worker they would fail later."""
        for name in ("num_classes", "sample_rate_hz", "clip_samples"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if cache not in ("none", "memory"):
            raise ArgumentError(f"`cache` (={cache!r}) must be 'none' or 'memory'")
        check_resample_quality(self.resample_quality)
        labels = self.clips.label_indices
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.num_classes:
            bad = labels.min() if labels.min() < 0 else labels.max()
            raise ArgumentError(
                f"`num_classes` (={self.num_classes}) must be above every label index, and a clip has index {bad}; "
                "load the manifest with the label set of the model"
            )


@contextlib.contextmanager
def _name_in_errors(clip: Clip) -> Iterator[None]:
    """Add the clip's name to every error of the body: a worker's traceback shows no values."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"while loading clip '{clip.id}' from '{clip.path}'")
        raise
