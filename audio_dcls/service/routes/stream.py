"""`WS /v1/tag/stream`: tag live sound over a WebSocket."""

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
from audio_dcls.service.settings import ModelName, ServiceSettings
from audio_dcls.service.tagging.live_tagger import LiveTagger
from audio_dcls.service.tagging.upload_tagger import UploadTagger, as_document
from audio_dcls.settings import Settings, build

_END = "end"
_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013


class StreamQuery(Settings):
    """The query parameters of a stream."""

    sample_rate_hz: int = 48_000
    channels: int = 1
    format: RawFormat = "s16le"
    model: ModelName | None = None
    window_s: float | None = None
    hop_s: float | None = None
    top_k: Annotated[int, pydantic.Field(ge=1)] = 5
    threshold: float | Literal["fitted"] | None = None
    classes: tuple[str, ...] | None = None

    @classmethod
    def from_socket(cls, socket: WebSocket) -> StreamQuery:
        """The parameters in a WebSocket's address; `class` may be repeated.

        Raises:
            ConfigError: a parameter is unknown, or its value is wrong.
        """
        given: dict[str, Any] = {key: value for key, value in socket.query_params.items() if key != "class"}
        if classes := socket.query_params.getlist("class"):
            given["classes"] = classes
        return build(cls, given, "/v1/tag/stream")

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of `TagOptions`; a stream has the windows of a timeline."""
        return {"timeline": True, **self.model_dump(include={"window_s", "hop_s", "top_k", "threshold", "classes"})}


def build_router(settings: ServiceSettings, tagger: UploadTagger, authority: Authority, metrics: Metrics) -> APIRouter:
    """The route for live sound."""
    router = APIRouter()
    streams = _Streams(settings, tagger, metrics)

    @router.websocket("/v1/tag/stream")
    async def stream(socket: WebSocket) -> None:
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            check_scope(authority.caller(websocket_key(socket)), ["tag"])
            await streams.serve(socket, StreamQuery.from_socket(socket))
        except AudioDclsError as error:
            await _refuse(socket, error)
        except WebSocketDisconnect:
            pass

    return router


class _Streams:
    """Serves streams, up to the allowed number."""

    def __init__(self, settings: ServiceSettings, tagger: UploadTagger, metrics: Metrics) -> None:
        self.settings, self.tagger, self.metrics = settings, tagger, metrics
        self.num_open = 0

    async def serve(self, socket: WebSocket, query: StreamQuery) -> None:
        """Serve a stream until it ends."""
        if self.num_open >= self.settings.max_streams or self.tagger.is_closing:
            message = f"{self.num_open} streams are open, so this stream is refused; connect again later"
            raise ServiceError(message, status=503, code="busy")
        self.num_open += 1
        self.metrics.streams.set(self.num_open)
        try:
            async with self.tagger.store.using(query.model) as (model, tagger, batcher):
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
        """The next samples; None at the end of the stream."""
        idle_s = self.settings.stream_idle_s
        try:
            async with asyncio.timeout(idle_s):
                message = await socket.receive()
        except TimeoutError:
            message = f"no sound arrived for {idle_s:g} s; connect again when there is sound"
            raise ServiceError(message, status=408, code="idle") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        if (text := message.get("text")) is None:
            return message["bytes"]
        if text.strip().lower() != _END:
            message = f"text message {text[:40]!r} must be '{_END}'; send samples as binary messages"
            raise ServiceError(message, status=400, code="bad_message")
        return None


async def _refuse(socket: WebSocket, error: AudioDclsError) -> None:
    status, code = status_and_code(error)
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the client has disconnected
        await socket.send_json({"type": "error", "status": status, "code": code, "detail": str(error)})
        await socket.close(_TRY_AGAIN_LATER if status == 503 else _POLICY_VIOLATION)
