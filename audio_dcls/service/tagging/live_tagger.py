"""Tag live sound: take samples as they arrive, and give the scores of the newest window every hop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import soxr

from audio_dcls.data.sound.sound_file import FILE_RATES_HZ, to_mono
from audio_dcls.data.sound.sound_stream import RawFormat
from audio_dcls.errors import ArgumentError, AudioFileError
from audio_dcls.inference import TagResult
from audio_dcls.inference.plan import Plan
from audio_dcls.inference.sound_scores import SoundScores
from audio_dcls.inference.windows import WindowSplitter, fill_window
from audio_dcls.service.tagging.batcher import Batcher

_MIN_HOP_S = 0.1
_MAX_CHANNELS = 8
_TYPES = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}


class LiveTagger:
    """Tags one stream of samples.

    Args:
        plan: the checked options.
        batcher: computes windows with the plan's model.
        sample_rate_hz: rate of the samples.
        num_channels: number of interleaved channels.
        form: encoding of the samples.
        name: the stream's name in messages.

    Raises:
        ArgumentError: the rate or the number of channels is out of range, or the hop is too short for live sound.
    """

    def __init__(
        self,
        plan: Plan,
        batcher: Batcher,
        *,
        sample_rate_hz: int,
        num_channels: int = 1,
        form: RawFormat = "s16le",
        name: str = "stream",
    ) -> None:
        if sample_rate_hz not in FILE_RATES_HZ:
            raise ArgumentError(
                f"`sample_rate_hz` (={sample_rate_hz}) must be {FILE_RATES_HZ[0]} to {FILE_RATES_HZ[-1]}"
            )
        if not 1 <= num_channels <= _MAX_CHANNELS:
            raise ArgumentError(f"`channels` (={num_channels}) must be 1 to {_MAX_CHANNELS}")
        if plan.hop_samples < _MIN_HOP_S * plan.sample_rate_hz:
            shown = plan.hop_samples / plan.sample_rate_hz
            raise ArgumentError(f"`hop_s` (={shown:g}) must be at least {_MIN_HOP_S} in a stream")
        self.plan, self.batcher, self.num_channels = plan, batcher, num_channels
        self.dtype = _TYPES[form]
        self.name = name
        self.scores = SoundScores(name, plan)
        self.splitter = WindowSplitter(plan.window_samples, plan.hop_samples)
        self._rest = b""
        self._resampler: soxr.ResampleStream | None = None
        if sample_rate_hz != plan.sample_rate_hz:
            self._resampler = soxr.ResampleStream(sample_rate_hz, plan.sample_rate_hz, 1, dtype="float32")

    async def push(self, content: bytes) -> AsyncIterator[dict[str, Any]]:
        """Yield the scores of the windows that samples complete; raises AudioFileError if a sample is not finite."""
        content = self._rest + content
        frame_bytes = self.dtype.itemsize * self.num_channels
        whole = len(content) // frame_bytes * frame_bytes
        self._rest = content[whole:]
        if not whole:
            return
        samples = np.frombuffer(content[:whole], dtype=self.dtype).reshape(-1, self.num_channels)
        if not np.isfinite(samples).all():
            message = f"'{self.name}' holds samples that are not finite; check the program that sends it"
            raise AudioFileError(message, reason="not_finite")
        block = to_mono(samples)
        if self._resampler is not None:
            block = self._resampler.resample_chunk(block)
        for start, window in self.splitter.push(block):
            yield await self._score(start, window)

    async def finish(self) -> TagResult:
        """End the stream, and return the result for all of it; raises AudioFileError if no sample arrived."""
        if self._resampler is not None:
            for start, window in self.splitter.push(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)):
                await self._score(start, window)
        if not self.splitter.num_samples:
            raise AudioFileError(f"'{self.name}' ended before the first sample; send some", reason="empty")
        for start, window in self.splitter.finish():
            await self._score(start, window)
        return self.scores.result(self.splitter.num_samples)

    async def _score(self, start: int, window: np.ndarray) -> dict[str, Any]:
        filled = fill_window(window, self.plan.clip_samples, self.plan.options.short)
        one = SoundScores(self.name, self.plan)
        await self.batcher.score([(start, filled)], _both(self.scores, one))
        tags = one.result(start + len(window)).tags
        rate_hz = self.plan.sample_rate_hz
        return {
            "type": "scores",
            "start_s": round(start / rate_hz, 3),
            "end_s": round((start + len(window)) / rate_hz, 3),
            "tags": [{"id": tag.id, "name": tag.name, "score": round(tag.score, 6)} for tag in tags],
        }


def _both(first: SoundScores, second: SoundScores) -> Callable[[int, np.ndarray], None]:
    def take(start: int, scores: np.ndarray) -> None:
        first.add(start, scores, None)
        second.add(start, scores, None)

    return take
