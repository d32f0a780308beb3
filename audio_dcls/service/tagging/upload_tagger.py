"""Tag uploads: decode each in a worker, cut it into windows, and compute them together with those of other requests."""

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
from audio_dcls.inference.plan import Plan
from audio_dcls.inference.sound_scores import SoundScores, merge_results
from audio_dcls.inference.windows import fill_window, window_starts
from audio_dcls.inspection.sound_picture import DYNAMIC_RANGE_DB, LOW_HZ, SoundPicture
from audio_dcls.service.observability import Metrics
from audio_dcls.service.settings import ServiceSettings
from audio_dcls.service.tagging.batcher import Batcher, retry_after_s
from audio_dcls.service.tagging.decoding import DecodedSound, Decoder
from audio_dcls.service.tagging.model_store import ModelStore

_PICTURE_COLUMNS = 1000
_PICTURE_BLOCK_SAMPLES = 2**18


class UploadTagger:
    """Tags uploads."""

    def __init__(self, settings: ServiceSettings, store: ModelStore, decoder: Decoder, metrics: Metrics) -> None:
        self.settings, self.store, self.decoder, self.metrics = settings, store, decoder, metrics
        self.num_requests = 0
        self.is_closing = False
        self._window_s = 0.0

    @contextlib.asynccontextmanager
    async def admitted(self, timeout_s: float | None) -> AsyncIterator[None]:
        """Admit one request until its deadline; raises ServiceError, 503 for too many requests, 504 at the deadline."""
        if self.is_closing or self.num_requests >= self.settings.max_requests:
            seconds = retry_after_s(self.num_requests, self._window_s)
            why = "the service is closing" if self.is_closing else f"{self.num_requests} requests are being tagged"
            message = f"{why}, so this request is refused; send it again in {seconds} s"
            raise ServiceError(message, status=503, code="busy", headers={"Retry-After": str(seconds)})
        self.num_requests += 1
        self.metrics.requests.set(self.num_requests)
        limit_s = min(timeout_s or self.settings.timeout_s, self.settings.max_timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError:
            message = f"the request was not tagged within {limit_s:g} s; send it again, perhaps with a larger timeout_s"
            raise ServiceError(message, status=504, code="deadline_passed") from None
        finally:
            self.num_requests -= 1
            self.metrics.requests.set(self.num_requests)

    async def tag(
        self, path: Path, name: str, *, model: str | None, options: dict[str, Any], picture: bool = False
    ) -> dict[str, Any]:
        """Tag an upload with a model, None for the default; `name` is the sender's name for it.

        The options are those of `TagOptions`. Returns `TagResult.to_json_dict` with the model's name and, if asked, the
        picture. Raises AudioDclsError if the sound, an option or the model cannot be used.
        """
        try:
            async with self.store.using(model) as (stored, tagger, batcher):
                plan = tagger.plan(**options)
                plans = [plan] if plan.of_clips is None else [plan, plan.of_clips]
                async with self.decoder.decoded(path, name, tagger.sample_rate_hz) as sound:
                    result = merge_results([await self._score(sound, plan, batcher) for plan in plans])
                    drawn = await asyncio.to_thread(_draw_picture, sound) if picture else None
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

    async def tag_or_explain(self, path: Path, name: str, **arguments: Any) -> dict[str, Any]:
        """Tag an upload; if the sound cannot be used, return the reason (a `TagFailed`)."""
        try:
            return await self.tag(path, name, **arguments)
        except AudioFileError as error:
            return {"path": name, "reason": error.reason, "error": str(error)}


def as_document(result: TagResult, model: str) -> dict[str, Any]:
    """A result in the form in which the service sends it."""
    return result.to_json_dict() | {"model": model}


def _windows(sound: DecodedSound, plan: Plan) -> Iterator[tuple[int, np.ndarray]]:
    samples = sound.samples
    for start in window_starts(len(samples), plan.window_samples, plan.hop_samples):
        window = samples[start : start + plan.window_samples]
        yield start, fill_window(window, plan.clip_samples, plan.options.short)


def _draw_picture(sound: DecodedSound) -> dict[str, Any]:
    """The envelope and the spectrogram of a sound, small enough to send to a page."""
    picture = SoundPicture(sound.sample_rate_hz)
    for start in range(0, len(sound.samples), _PICTURE_BLOCK_SAMPLES):
        picture.add(sound.samples[start : start + _PICTURE_BLOCK_SAMPLES])
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
    """Merge columns to at most `_PICTURE_COLUMNS` by their maximum, or minimum in the first row if `lowest_first`."""
    num_columns = rows.shape[1]
    if num_columns <= _PICTURE_COLUMNS:
        return rows
    starts = np.linspace(0, num_columns, _PICTURE_COLUMNS, endpoint=False).astype(int)
    merged = np.maximum.reduceat(rows, starts, axis=1)
    if lowest_first:
        merged[0] = np.minimum.reduceat(rows[0], starts)
    return merged
