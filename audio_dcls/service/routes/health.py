"""`/healthz`, `/readyz`, `/metrics` and `/v1/info`: the state of the service."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from audio_dcls.errors import ServiceError
from audio_dcls.service.auth import Caller, require
from audio_dcls.service.observability import Metrics
from audio_dcls.service.problems import documented
from audio_dcls.service.runs.recipes import recipes
from audio_dcls.service.runs.run_service import RunService
from audio_dcls.service.schemas import Info, Limits
from audio_dcls.service.settings import ServiceSettings
from audio_dcls.service.tagging.model_store import ModelStore


def build_router(
    settings: ServiceSettings,
    store: ModelStore,
    metrics: Metrics,
    *,
    is_ready: Callable[[], bool],
    runs: RunService | None,
) -> APIRouter:
    """The routes for probes, metrics and information; `runs` is None if training is switched off."""
    router = APIRouter(tags=["service"])

    @router.get("/healthz")
    def health() -> dict[str, str]:
        """Liveness: the process answers."""
        return {"status": "ok"}

    @router.get("/readyz", responses=documented(503))
    def ready() -> dict[str, str]:
        """Readiness: the service can answer requests; not while it loads its default model, nor while it closes."""
        if not is_ready():
            message = "the service is starting or closing; try again in a moment"
            raise ServiceError(message, status=503, code="not_ready", headers={"Retry-After": "1"})
        return {"status": "ready"}

    @router.get(
        "/metrics",
        dependencies=[Depends(require("admin"))],
        responses=documented(401, 403),
        response_class=PlainTextResponse,
    )
    def show_metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        metrics.models.set(sum(model.tagger is not None for model in store.models()))
        if runs is not None:
            metrics.count_runs(entry.state for entry in runs.queue.entries())
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @router.get("/v1/info", responses=documented(401))
    def info(caller: Annotated[Caller, Depends(require())]) -> Info:
        """The service's version, default model, limits and recipes, and the caller's scopes."""
        return Info(
            version=importlib.metadata.version("audio-dcls"),
            default_model=store.default_name(),
            keys_required=settings.needs_keys,
            scopes=list(caller.scopes),
            training=settings.training,
            limits=Limits(**{name: getattr(settings, name) for name in Limits.model_fields}),
            recipes=list(recipes()) if settings.training else [],
        )

    return router
