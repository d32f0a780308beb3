"""Build the service as an ASGI application: its parts, its routes and its middleware."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import re
import uuid
from collections.abc import AsyncIterator, Callable

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from audio_dcls.errors import AudioDclsError
from audio_dcls.service.auth import Authority, SameSite
from audio_dcls.service.observability import AccessLog, Metrics
from audio_dcls.service.problems import install_handlers
from audio_dcls.service.routes import health, models, runs, stream, tag
from audio_dcls.service.routes.page import SecurityHeaders, install_page
from audio_dcls.service.runs.run_service import RunService
from audio_dcls.service.runs.supervisor import Supervision
from audio_dcls.service.settings import ServiceSettings
from audio_dcls.service.tagging.decoding import Decoder
from audio_dcls.service.tagging.model_store import ModelStore
from audio_dcls.service.tagging.upload_tagger import UploadTagger
from audio_dcls.service.tagging.uploads import BodyLimit

logger = logging.getLogger("audio_dcls.service")
_REQUEST_ID_HEADER = "X-Request-ID"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Service:
    """The parts of a running service."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.authority = Authority(settings)
        self.store = ModelStore(settings, self.metrics)
        self.decoder = Decoder(settings)
        self.tagger = UploadTagger(settings, self.store, self.decoder, self.metrics)
        self.runs = _build_runs(settings) if settings.training else None
        self.is_ready = False

    @property
    def answers(self) -> bool:
        """True if the service can answer requests."""
        return self.is_ready and (self.runs is None or self.runs.is_alive)

    async def start(self) -> None:
        """Start the workers and the runs, and load the default model in the background."""
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        self.decoder.start()
        if self.runs is not None:
            await asyncio.to_thread(self.runs.start)
        self._preloading = asyncio.create_task(self._preload())

    async def close(self) -> None:
        """Finish the requests in flight, then close all parts."""
        self.is_ready, self.tagger.is_closing = False, True
        await self._preloading
        await self.store.close()
        if self.runs is not None:
            leave = self.settings.runs_at_shutdown == "leave"
            await asyncio.to_thread(self.runs.close, leave=leave, grace_s=self.settings.shutdown_grace_s)
        await asyncio.to_thread(self.decoder.close)

    async def _preload(self) -> None:
        name = self.store.default_name()
        if name is not None and self.settings.preload:
            try:
                await self.store.load(name)
            except AudioDclsError as error:
                logger.warning("model '%s' cannot be loaded: %s", name, error)
        self.is_ready = not self.tagger.is_closing


def _build_runs(settings: ServiceSettings) -> RunService:
    return RunService(
        settings.state_dir,
        data_roots=settings.data_roots,
        config_dirs=settings.config_dirs,
        supervision=Supervision(max_running=settings.max_running),
        engine=settings.engine,
        ray_address=settings.ray_address,
        taken_model_names=lambda: tuple(settings.models),
    )


def build_app(settings: ServiceSettings, on_started: Callable[[], object] = lambda: None) -> FastAPI:
    """The service as an ASGI application; it calls `on_started` once it can take requests."""
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        on_started()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="audio_dcls",
        summary="Tags sounds, and trains models that tag them.",
        version=importlib.metadata.version("audio-dcls"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.state.authority = service.authority
    app.state.runs = service.runs
    install_handlers(app)
    _install_routes(app, service)
    _install_middleware(app, service)
    return app


def _install_routes(app: FastAPI, service: Service) -> None:
    settings = service.settings
    app.include_router(
        health.build_router(
            settings, service.store, service.metrics, is_ready=lambda: service.answers, runs=service.runs
        )
    )
    app.include_router(tag.build_router(settings, service.tagger))
    app.include_router(stream.build_router(settings, service.tagger, service.authority, service.metrics))
    app.include_router(models.build_router(service.store))
    if service.runs is not None:
        app.include_router(runs.build_router(lambda name: models.describe(service.store, name)))
    install_page(app)


def _install_middleware(app: FastAPI, service: Service) -> None:
    """Add the middleware; the first one added is the nearest to the routes."""
    settings = service.settings
    service.metrics.instrument(app)
    app.add_middleware(BodyLimit, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["Authorization", "Content-Type", _REQUEST_ID_HEADER],
            expose_headers=[_REQUEST_ID_HEADER, "Retry-After"],
        )
    app.add_middleware(SameSite, settings=settings)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(AccessLog)
    app.add_middleware(
        CorrelationIdMiddleware,
        header_name=_REQUEST_ID_HEADER,
        generator=lambda: uuid.uuid4().hex,
        validator=lambda text: _REQUEST_ID.fullmatch(text) is not None,
        transformer=lambda text: text,
    )
