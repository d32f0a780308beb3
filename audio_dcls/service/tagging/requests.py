"""From an upload to its tags: decoded in a worker, cut into windows, computed together with others'.

Axis legend: T samples of a window.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from audio_dcls.errors import AudioFileError, ServiceError
from audio_dcls.inference import TagResult
from audio_dcls.inference.options import Plan
from audio_dcls.inference.sound_scores import SoundScores, merge_results
from audio_dcls.inference.windows import fill_window, window_starts
from audio_dcls.inspection.sound_picture import DYNAMIC_RANGE_DB, LOW_HZ, SoundPicture
from audio_dcls.service.observability import Metrics
from audio_dcls.service.settings import ServiceSettings
from audio_dcls.service.tagging.batcher import Batcher, retry_after_s
from audio_dcls.service.tagging.decoding import DecodedSound, Decoder
from audio_dcls.service.tagging.model_store import ModelStore

PICTURE_COLUMNS = 1000
PICTURE_BLOCK_SAMPLES = 2**18


class Tagging:
    """Tags uploads.

    Args:
        settings: of the service.
        store: has the models.
        decoder: has the workers.
        metrics: counts.
    """

    def __init__(self, settings: ServiceSettings, store: ModelStore, decoder: Decoder, metrics: Metrics) -> None:
        self.settings, self.store, self.decoder, self.metrics = settings, store, decoder, metrics
        self.num_requests = 0
        self.is_closing = False
        self._window_s = 0.0

    @contextlib.asynccontextmanager
    async def admitted(self, timeout_s: float | None) -> AsyncIterator[None]:
        """Room for one request, and its deadline, while the body runs.

        Raises:
            ServiceError: 503, there are too many; 504, the deadline passed.
        """
        if self.is_closing or self.num_requests >= self.settings.max_requests:
            seconds = retry_after_s(self.num_requests, self._window_s)
            why = "the service is closing" if self.is_closing else f"{self.num_requests} requests are being tagged"
            message = f"{why}, and no more are taken; send it again in {seconds} s"
            raise ServiceError(message, status=503, code="busy", headers={"Retry-After": str(seconds)})
        self.num_requests += 1
        self.metrics.requests.set(self.num_requests)
        limit_s = min(timeout_s or self.settings.timeout_s, self.settings.max_timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError:
            message = f"not tagged within {limit_s:g} s; send it again, or with a larger timeout_s"
            raise ServiceError(message, status=504, code="deadline_passed") from None
        finally:
            self.num_requests -= 1
            self.metrics.requests.set(self.num_requests)

    async def tag(
        self, path: Path, name: str, *, model: str | None, options: dict[str, Any], picture: bool = False
    ) -> dict[str, Any]:
        """Tag an upload.

        Args:
            path: where it is spooled.
            name: what the sender calls it.
            model: by name; None for the default one.
            options: of `TagOptions`.
            picture: whether its envelope and spectrogram are wanted.

        Returns:
            `TagResult.to_json_dict`, with the model's name and the picture.

        Raises:
            AudioDclsError: of the sound, the options or the model.
        """
        try:
            async with self.store.using(model) as (stored, tagger, batcher):
                plan = tagger.plan(**options)
                plans = [plan] if plan.of_clips is None else [plan, plan.of_clips]
                async with self.decoder.decoded(path, name, tagger.sample_rate_hz) as sound:
                    result = merge_results([await self._score(sound, plan, batcher) for plan in plans])
                    drawn = await asyncio.to_thread(draw_picture, sound) if picture else None
        except AudioFileError as error:
            self.metrics.sounds.labels(outcome=error.reason).inc()
            raise
        self.metrics.sounds.labels(outcome="tagged").inc()
        self.metrics.audio_seconds.inc(result.duration_s)
        return as_document(result, stored.name) | ({} if drawn is None else {"picture": drawn})

    async def _score(self, sound: DecodedSound, plan: Plan, batcher: Batcher) -> TagResult:
        scores = SoundScores(sound.name, plan)
        await batcher.score(_windows(sound, plan), lambda start, row: scores.add(start, row, None))
        self._window_s = batcher.window_s
        return scores.result(len(sound.samples))

    async def tag_or_say(self, path: Path, name: str, **wanted: Any) -> dict[str, Any]:
        """The same; what is wrong with a sound becomes its result."""
        try:
            return await self.tag(path, name, **wanted)
        except AudioFileError as error:
            return {"path": name, "reason": error.reason, "error": str(error)}


def as_document(result: TagResult, model: str) -> dict[str, Any]:
    """A result as the service sends it."""
    return result.to_json_dict() | {"model": model}


def _windows(sound: DecodedSound, plan: Plan) -> Iterator[tuple[int, np.ndarray]]:
    samples = sound.samples
    for start in window_starts(len(samples), plan.window_samples, plan.hop_samples):
        window = samples[start : start + plan.window_samples]
        yield start, fill_window(window, plan.clip_samples, plan.options.short)


def draw_picture(sound: DecodedSound) -> dict[str, Any]:
    """The envelope and the spectrogram of a sound, small enough for a page."""
    picture = SoundPicture(sound.sample_rate_hz)
    for start in range(0, len(sound.samples), PICTURE_BLOCK_SAMPLES):
        picture.add(sound.samples[start : start + PICTURE_BLOCK_SAMPLES])
    envelope = _fewer_columns(picture.envelope().T, lowest_first=True).T
    spectrogram_db = _fewer_columns(picture.spectrogram_db())
    loudness = np.round(255 * (1 + spectrogram_db / DYNAMIC_RANGE_DB)).clip(0, 255).astype(np.uint8)
    return {
        "duration_s": round(picture.duration_s, 3),
        "envelope": [[round(float(low), 4), round(float(high), 4)] for low, high in envelope],
        "spectrogram": {
            "height": loudness.shape[0],
            "width": loudness.shape[1],
            "data": base64.b64encode(loudness.tobytes()).decode(),
        },
        "low_hz": LOW_HZ,
        "high_hz": picture.high_hz,
    }


def _fewer_columns(rows: np.ndarray, *, lowest_first: bool = False) -> np.ndarray:
    """(n, columns) with neighbouring columns merged to at most `PICTURE_COLUMNS` by their maximum.

    Args:
        rows: values.
        lowest_first: whether the first row is merged by its minimum.
    """
    num_columns = rows.shape[1]
    if num_columns <= PICTURE_COLUMNS:
        return rows
    starts = np.linspace(0, num_columns, PICTURE_COLUMNS, endpoint=False).astype(int)
    merged = np.maximum.reduceat(rows, starts, axis=1)
    if lowest_first:
        merged[0] = np.minimum.reduceat(rows[0], starts)
    return merged
