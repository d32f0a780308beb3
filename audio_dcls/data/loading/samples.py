"""Clips as training samples: decode, fit to one length, augment, and put together in batches.

Axes: b clips that could be read, T samples, C classes.

A clip that cannot be read never becomes a blank and never stops a run: its sample carries the failure, and the batch
leaves it out and lists it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.audit.check import ClipProblem
from audio_dcls.data.augment.spectrogram import draw_erase_box, draw_mask_boxes
from audio_dcls.data.augment.waveform import WaveformAugment
from audio_dcls.data.loading.cache import WaveformCache
from audio_dcls.data.sound.decode import ResampleQuality, check_resample_quality, fit_length
from audio_dcls.data.stores.sources import read_clip_audio
from audio_dcls.data.table.clip_table import Clip, ClipTable
from audio_dcls.errors import ArgumentError, AudioFileError


class Sample(TypedDict):
    """One clip, ready for a batch."""

    index: int
    """Place of the clip in the dataset."""
    waveform: Tensor
    """(T,) float32."""
    target: Tensor
    """(C,) float32, 0 or 1."""
    erase_box: Tensor
    """(4,) int64, top, left, height, width on the linear spectrogram; zeros for none."""
    mask_boxes: Tensor
    """(2, 4) int64, boxes on the mel spectrogram; zeros for none."""


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
    """(b,) int64, ascending: places of the clips in the micro-batch as it was asked for, 0 .. b + failures - 1."""
    erase_boxes: Tensor
    """(b, 4) int64, for `erase_boxes`."""
    mask_boxes: Tensor
    """(b, 2, 4) int64, for `mask_mel`."""
    failures: tuple[ClipProblem, ...]
    """Clips that could not be read."""

    def __len__(self) -> int:
        return len(self.indices)

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory; the data loader calls this when asked to pin."""
        return self._map(Tensor.pin_memory)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device, copied in the background where memory is pinned."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, change: Any) -> Batch:
        fields = {name: change(value) if isinstance(value, Tensor) else value for name, value in vars(self).items()}
        return Batch(**fields)


class ClipDataset(torch.utils.data.Dataset[Sample | FailedSample]):
    """Clips by (epoch, index), augmented by draws that depend on (seed, epoch, index) and nothing else.

    A clip is cut at `clip_samples` when it is decoded (an hour-long file costs no more than a short one, and a file
    that is silent for as long as the model hears is a failure, not a blank), zero-padded at its end, then augmented.

    Args:
        clips: the clips, kept as columns so that worker processes share them.
        num_classes: C, at least 1; every label index is below it.
        sample_rate_hz: rate the clips are resampled to.
        clip_samples: T, length of every waveform, at least 1.
        augment: changes the waveforms; None leaves them alone.
        erase: keywords of `draw_erase_box`, or None.
        num_bins: rows of the linear spectrogram.
        num_frames: columns of both spectrograms.
        seed: the run's seed.
        cache: `memory` keeps the fitted waveforms, before augmentation, in memory shared by all workers.
        mask: keywords of `draw_mask_boxes`, or None.
        num_mels: rows of the mel spectrogram; needed with `mask`.
        resample_quality: of soxr.

    Raises:
        ArgumentError: a number, a keyword or a label is out of range, or the cache does not fit in memory.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        num_classes: int,
        sample_rate_hz: int,
        clip_samples: int,
        augment: WaveformAugment | None,
        erase: Mapping[str, Any] | None,
        num_bins: int,
        num_frames: int,
        seed: int,
        cache: Literal["none", "memory"] = "none",
        mask: Mapping[str, Any] | None = None,
        num_mels: int = 0,
        resample_quality: ResampleQuality = "HQ",
    ) -> None:
        self.clips = clips if isinstance(clips, ClipTable) else ClipTable.from_clips(clips)
        self.num_classes = num_classes
        self.sample_rate_hz = sample_rate_hz
        self.clip_samples = clip_samples
        self.augment = augment
        self.erase = None if erase is None else dict(erase)
        self.mask = None if mask is None else dict(mask)
        self.num_bins = num_bins
        self.num_mels = num_mels
        self.num_frames = num_frames
        self.seed = seed
        self.resample_quality: ResampleQuality = resample_quality
        self.before_item: Callable[[int, int], None] | None = None
        """Called with epoch and index before a clip is read; fetches remote shards ahead."""
        self._check(cache)
        self._cache = WaveformCache(len(self.clips), clip_samples) if cache == "memory" else None

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def is_augmented(self) -> bool:
        """Whether anything random happens to the clips."""
        return not (self.augment is None and self.erase is None and self.mask is None)

    def __getitem__(self, item: tuple[int, int]) -> Sample | FailedSample:
        """The clip `item` = (epoch, index), or its failure."""
        epoch, index = item
        if self.before_item is not None:
            self.before_item(epoch, index)
        clip = self.clips[index]
        with _Naming(clip):
            try:
                waveform = self._waveform(index, clip)
            except AudioFileError as error:
                problem = ClipProblem(
                    id=clip.id, path=clip.path, split=clip.split, reason=error.reason, message=str(error)
                )
                return FailedSample(index=index, failure=problem)
            if self.augment is None:
                waveform = waveform.copy()
            else:
                waveform = self.augment(waveform, counted_rng(self.seed, epoch, index, stream="waveform"))
            return Sample(
                index=index,
                waveform=torch.from_numpy(np.ascontiguousarray(waveform)),
                target=self._target(clip),
                erase_box=torch.from_numpy(self._erase_box(counted_rng(self.seed, epoch, index, stream="erase"))),
                mask_boxes=torch.from_numpy(self._mask_boxes(counted_rng(self.seed, epoch, index, stream="mask"))),
            )

    def collate(self, samples: Sequence[Sample | FailedSample]) -> Batch:
        """Put samples together; failures are left out of the tensors and listed.

        Shape:
            a batch of no clips has tensors of length 0, of the usual shapes otherwise.
        """
        slots = [slot for slot, sample in enumerate(samples) if "failure" not in sample]
        failures = tuple(sample["failure"] for sample in samples if "failure" in sample)
        kept = [sample for sample in samples if "failure" not in sample]

        def stack(items: list[Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
            # The stock collation writes straight into shared memory when it runs in a worker.
            return torch.utils.data.default_collate(items) if items else torch.empty(0, *shape, dtype=dtype)

        return Batch(
            waveforms=stack([sample["waveform"] for sample in kept], (self.clip_samples,), torch.float32),
            targets=stack([sample["target"] for sample in kept], (self.num_classes,), torch.float32),
            indices=torch.tensor([sample["index"] for sample in kept], dtype=torch.int64),
            slots=torch.tensor(slots, dtype=torch.int64),
            erase_boxes=stack([sample["erase_box"] for sample in kept], (4,), torch.int64),
            mask_boxes=stack([sample["mask_boxes"] for sample in kept], (2, 4), torch.int64),
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

    def _erase_box(self, rng: np.random.Generator) -> np.ndarray:
        if self.erase is None:
            return np.zeros(4, dtype=np.int64)
        return draw_erase_box(self.num_bins, self.num_frames, rng, **self.erase)

    def _mask_boxes(self, rng: np.random.Generator) -> np.ndarray:
        if self.mask is None:
            return np.zeros((2, 4), dtype=np.int64)
        return draw_mask_boxes(self.num_mels, self.num_frames, rng, **self.mask)

    def _check(self, cache: str) -> None:
        """Refuse here, in the calling process, what would otherwise fail in a worker."""
        for name in ("num_classes", "sample_rate_hz", "clip_samples", "num_bins", "num_frames"):
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
        self._erase_box(np.random.default_rng(0))
        self._mask_boxes(np.random.default_rng(0))


class _Naming:
    """Context that adds the clip's name to whatever error leaves it: a worker's traceback shows no values."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"while loading clip '{self.clip.id}' from '{self.clip.path}'")
