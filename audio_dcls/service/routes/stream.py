"""`WS /v1/tag/stream`: live samples in, scores out."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from audio_dcls.data.sound.sound_stream import RawFormat
from audio_dcls.errors import AudioDclsError, ServiceError
from audio_dcls.service.auth import SUBPROTOCOL, Authority, check_scope, websocket_key
from audio_dcls.service.observability import Metrics
from audio_dcls.service.problems import status_and_code
from audio_dcls.service.settings import NAME_PATTERN, ServiceSettings
from audio_dcls.service.tagging.live import LiveTagger
from audio_dcls.service.tagging.requests import Tagging, as_document
from audio_dcls.settings import Settings, build

END = "end"
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


class StreamQuery(Settings):
    """What is asked of a stream."""

    sample_rate_hz: int = 48_000
    channels: int = 1
    format: RawFormat = "s16le"
    model: Annotated[str, pydantic.Field(pattern=NAME_PATTERN)] | None = None
    window_s: float | None = None
    hop_s: float | None = None
    top_k: Annotated[int, pydantic.Field(ge=1)] = 5
    threshold: float | Literal["fitted"] | None = None
    classes: tuple[str, ...] | None = None

    @classmethod
    def of(cls, socket: WebSocket) -> StreamQuery:
        """The parameters of a WebSocket's address; `class` may be there several times.

        Raises:
            ConfigError: one is not known, or its value is wrong.
        """
        given: dict[str, Any] = {key: value for key, value in socket.query_params.items() if key != "class"}
        if classes := socket.query_params.getlist("class"):
            given["classes"] = classes
        return build(cls, given, "/v1/tag/stream")

    @property
    def options(self) -> dict[str, Any]:
        """Of `TagOptions`; windows are those of a timeline."""
        names = ("window_s", "hop_s", "top_k", "threshold", "classes")
        return {"timeline": True, **{name: getattr(self, name) for name in names}}


def build_router(settings: ServiceSettings, tagging: Tagging, authority: Authority, metrics: Metrics) -> APIRouter:
    """The route."""
    router = APIRouter()
    streams = _Streams(settings, tagging, metrics)

    @router.websocket("/v1/tag/stream")
    async def stream(socket: WebSocket) -> None:
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            check_scope(authority.caller(websocket_key(socket)), ["tag"])
            await streams.serve(socket, StreamQuery.of(socket))
        except AudioDclsError as error:
            await _refuse(socket, error)
        except WebSocketDisconnect:
            pass

    return router


class _Streams:
    """Open streams, and no more than are allowed."""

    def __init__(self, settings: ServiceSettings, tagging: Tagging, metrics: Metrics) -> None:
        self.settings, self.tagging, self.metrics = settings, tagging, metrics
        self.num_open = 0

    async def serve(self, socket: WebSocket, query: StreamQuery) -> None:
        """Answer a stream to its end."""
        if self.num_open >= self.settings.max_streams or self.tagging.is_closing:
            raise ServiceError(f"{self.num_open} streams are open, and no more are taken", status=503, code="busy")
        self.num_open += 1
        self.metrics.streams.set(self.num_open)
        try:
            async with self.tagging.store.using(query.model) as (model, tagger, batcher):
                live = LiveTagger(
                    tagger.plan(**query.options),
                    batcher,
                    sample_rate_hz=query.sample_rate_hz,
                    num_channels=query.channels,
                    form=query.format,
                )
                while (content := await self._receive(socket)) is not None:
                    async for scores in live.push(content):
                        await socket.send_json(scores)
                result = await live.finish()
                await socket.send_json({"type": "result", **as_document(result, model.name)})
                await socket.close()
        finally:
            self.num_open -= 1
            self.metrics.streams.set(self.num_open)

    async def _receive(self, socket: WebSocket) -> bytes | None:
        """The next samples; None at the end."""
        idle_s = self.settings.stream_idle_s
        try:
            async with asyncio.timeout(idle_s):
                message = await socket.receive()
        except TimeoutError:
            message = f"nothing came for {idle_s:g} s; connect again when there is sound"
            raise ServiceError(message, status=408, code="idle") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        if (text := message.get("text")) is None:
            return message["bytes"]
        if text.strip().lower() != END:
            raise ServiceError(
                f"text {text[:40]!r} must be '{END}'; samples go as binary", status=400, code="bad_message"
            )
        return None


async def _refuse(socket: WebSocket, error: AudioDclsError) -> None:
    status, code = status_and_code(error)
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it has left
        await socket.send_json({"type": "error", "status": status, "code": code, "detail": str(error)})
        await socket.close(TRY_AGAIN_LATER if status == 503 else POLICY_VIOLATION)
