"""Mean and standard deviation of the decibel spectrograms of many clips, in one pass.

Axes: B clips, M mels, F frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError, ManifestError
from audio_dcls.frontend import FrontendConfig, build_frontend

_BATCH_CLIPS = 8
_FLOOR_MARGIN_DB = 1e-3


@dataclass(frozen=True)
class Moments:
    """Number of values, their mean, and the sum of their squared deviations from it.

    Two are merged by the formula of Chan, Golub and LeVeque (1979, "Updating formulae and a pairwise algorithm for
    computing sample variances"): mean square minus squared mean would lose half the digits.

    >>> a, b = Moments.of(torch.tensor([1.0, 2.0])), Moments.of(torch.tensor([6.0]))
    >>> a.merged(b).mean, round(a.merged(b).std, 4)
    (3.0, 2.1602)
    """

    num_values: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: Tensor) -> Moments:
        """Moments of all elements of a tensor with at least one element, in float64."""
        values = values.double()
        mean = values.mean()
        return cls(values.numel(), float(mean), float((values - mean).square().sum()))

    def merged(self, other: Moments) -> Moments:
        """Moments of the values of both; at least one of them has values."""
        count = self.num_values + other.num_values
        delta = other.mean - self.mean
        share = other.num_values / count
        squares = self.squares + other.squares + delta**2 * self.num_values * share
        return Moments(count, self.mean + delta * share, squares)

    @property
    def std(self) -> float:
        """Standard deviation of the values themselves (divided by their number)."""
        return math.sqrt(self.squares / self.num_values)


@dataclass(frozen=True)
class SpectrogramStats:
    """Statistics of the spectrograms of some clips."""

    num_clips: int
    """Clips measured."""
    num_failed: int
    """Clips that could not be read."""
    mean_db: float
    std_db: float
    floor_share: float
    """Share of the values, 0 to 1, at the floor of the decibel scale: digital silence and padding."""


def measure_spectrograms(
    clips: ClipTable,
    frontend: FrontendConfig,
    *,
    num_workers: int = 0,
    device: torch.device | str = "cpu",
    on_progress: Callable[[int], None] | None = None,
) -> SpectrogramStats:
    """Mean and standard deviation of the spectrograms before they are normalised.

    Clips are cut or padded with zeros to `frontend.clip_s`, as in training, so padding counts: on a corpus of short
    sounds it is most of what the model sees. The result does not depend on the number of workers.

    Args:
        clips: the clips; those that cannot be read are only counted.
        frontend: rate, length and sizes; its mean and standard deviation are not used.
        num_workers: processes that read, at least 0; 0 reads in the calling process.
        device: device that computes the spectrograms.
        on_progress: called with the number of clips done since the last call.

    Raises:
        ManifestError: no clip could be read.
    """
    decibels = build_frontend(frontend.model_copy(update={"mean_db": 0.0, "std_db": 1.0})).to(device)
    floor_db = 10 * math.log10(frontend.amin) + _FLOOR_MARGIN_DB
    moments, num_clips, num_failed, num_floor = Moments(), 0, 0, 0
    with torch.inference_mode():
        for batch in eval_loader(_dataset(clips, frontend), _BATCH_CLIPS, num_workers=num_workers):
            num_clips += len(batch)
            num_failed += len(batch.failures)
            if len(batch):
                mel = decibels(batch.waveforms.to(device))
                moments = moments.merged(Moments.of(mel))
                num_floor += int((mel <= floor_db).sum())
            if on_progress is not None:
                on_progress(len(batch) + len(batch.failures))
    if not num_clips:
        first = f", such as '{clips[0].path}'" if len(clips) else ""
        raise ManifestError(
            f"not one of the {len(clips)} clips can be read{first}; `audio-dcls manifest check` says why"
        )
    return SpectrogramStats(num_clips, num_failed, moments.mean, moments.std, num_floor / moments.num_values)


def draw_clips(clips: ClipTable, num_clips: int, seed: int = 0) -> ClipTable:
    """Draw clips at random without repetition, in the table's order; all clips if the table has no more.

    Args:
        clips: the table.
        num_clips: number of clips to draw, at least 1.
        seed: seed of the draw.

    Raises:
        ArgumentError: `num_clips` is below 1.
    """
    if num_clips < 1:
        raise ArgumentError(f"`num_clips` (={num_clips}) must be at least 1")
    if num_clips >= len(clips):
        return clips
    drawn = counted_rng(seed, stream="spectrogram_stats").choice(len(clips), num_clips, replace=False)
    return clips.take(np.sort(drawn))


def stats_fragment(stats: SpectrogramStats, frontend: FrontendConfig, source: str) -> str:
    """YAML that a config can include.

    Args:
        stats: the statistics.
        frontend: sizes that they were measured with.
        source: description of the clips, for the reader.
    """
    sizes = frontend.model_dump(exclude={"mean_db", "std_db"})
    lines = [
        f"# Mean and standard deviation of the spectrograms of {stats.num_clips} clips of {source},",
        "# measured by `audio-dcls manifest frontend-stats` with these sizes of the frontend:",
        *(f"#   {name}: {value}" for name, value in sizes.items()),
        f"# {stats.floor_share:.1%} of the values are digital silence, padding included.",
        "frontend:",
        f"  mean_db: {stats.mean_db:.4f}",
        f"  std_db: {stats.std_db:.4f}",
    ]
    return "\n".join(lines) + "\n"


def _dataset(clips: ClipTable, frontend: FrontendConfig) -> ClipDataset:
    return ClipDataset(
        clips,
        num_classes=int(clips.label_indices.max(initial=0)) + 1,
        sample_rate_hz=frontend.sample_rate_hz,
        clip_samples=frontend.clip_samples,
    )
