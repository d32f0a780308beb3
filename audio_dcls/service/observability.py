"""Log lines with request ids, and metrics for Prometheus."""

from __future__ import annotations

import collections
import logging
import time
import typing
from collections.abc import Iterable

from asgi_correlation_id import CorrelationIdFilter
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_fastapi_instrumentator import Instrumentator
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audio_dcls.service.runs.queue import RunState
from audio_dcls.service.settings import ServiceSettings

access_log = logging.getLogger("audio_dcls.service.access")
_REQUEST_ID_CHARACTERS = 32
_COLOURED = "color_message"
"""A second copy of the line for terminals, which uvicorn adds."""
_BATCH_WINDOWS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Metrics for Prometheus; each service has its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.batches = Histogram(
            "audio_dcls_batch_windows", "Windows computed at once", buckets=_BATCH_WINDOWS, registry=self.registry
        )
        self.batch_seconds = Histogram(
            "audio_dcls_batch_seconds", "Seconds a batch of windows took", registry=self.registry
        )
        self.sounds = Counter(
            "audio_dcls_sounds", "Sounds tagged or refused, by outcome", ["outcome"], registry=self.registry
        )
        self.audio_seconds = Counter("audio_dcls_audio_seconds", "Seconds of sound tagged", registry=self.registry)
        self.requests = Gauge(
            "audio_dcls_tag_requests", "Tagging requests between arrival and answer", registry=self.registry
        )
        self.streams = Gauge("audio_dcls_streams", "Open WebSockets", registry=self.registry)
        self.models = Gauge("audio_dcls_models_loaded", "Models in memory", registry=self.registry)
        self.runs = Gauge("audio_dcls_runs", "Runs, by state", ["state"], registry=self.registry)

    def count_batch(self, num_windows: int, seconds: float) -> None:
        """Count a batch of windows."""
        self.batches.observe(num_windows)
        self.batch_seconds.observe(seconds)

    def count_runs(self, states: Iterable[str]) -> None:
        """Set the number of runs in each state."""
        counts = collections.Counter(states)
        for state in typing.get_args(RunState):
            self.runs.labels(state=state).set(counts[state])

    def instrument(self, app: FastAPI) -> None:
        """Count the HTTP requests of an application by route and status."""
        Instrumentator(
            registry=self.registry,
            should_ignore_untemplated=True,
            excluded_handlers=["/healthz", "/readyz", "/metrics"],
        ).instrument(app)


class AccessLog:
    """Middleware that writes one log line per request, after the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            caller = scope.get("state", {}).get("caller")
            fields = {
                "method": scope["method"],
                "path": scope["path"],
                "status": status or 499,
                "duration_ms": round(1000 * (time.perf_counter() - began), 1),
                "client": (scope.get("client") or ("",))[0],
                "key": getattr(caller, "name", None),
            }
            access_log.info("%s %s %s", scope["method"], scope["path"], fields["status"], extra=fields)


def set_up_logging(settings: ServiceSettings) -> None:
    """Send log lines to standard error, each with the id of its request."""
    handler = logging.StreamHandler()
    handler.addFilter(CorrelationIdFilter(uuid_length=_REQUEST_ID_CHARACTERS, default_value="-"))
    if settings.log_format == "json":
        renamed = {"levelname": "level", "correlation_id": "request_id", "asctime": "time", "name": "logger"}
        fields = "%(asctime)s %(levelname)s %(name)s %(correlation_id)s %(message)s"
        handler.setFormatter(JsonFormatter(fields, rename_fields=renamed, reserved_attrs=[*RESERVED_ATTRS, _COLOURED]))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s [%(correlation_id)s] %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in ("httpx", "uvicorn.access"):
        logging.getLogger(noisy).setLevel("WARNING")
