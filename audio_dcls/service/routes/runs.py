"""`/v1/runs`: training, started, watched, stopped and resumed over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from audio_dcls.service.problems import documented
from audio_dcls.service.query_names import refuse_unknown_query
from audio_dcls.service.runs.event_stream import RunEvent
from audio_dcls.service.runs.run_service import MAX_LOG_LINES, RunService
from audio_dcls.service.runs.schemas import ModelRequest, PerClass, RunList, RunMetrics, RunRequest, RunView
from audio_dcls.service.schemas import ModelResponse

PING_S = 15
YAML_MEDIA_TYPE = "text/yaml; charset=utf-8"
EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Server-sent events."}
}


def build_router(
    require: Callable[..., Callable[..., Any]], describe_model: Callable[[str], ModelResponse]
) -> APIRouter:
    """The routes; the runs are `request.app.state.runs`.

    Args:
        require: makes a dependency that lets callers pass who have one of some scopes.
        describe_model: a model of the service by its name, as `GET /v1/models/NAME` answers it.
    """
    router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=documented(401, 403, 422))
    trainer = [Depends(require("train")), Depends(refuse_unknown_query)]
    errors = documented(404, 422)
    conflicts = documented(404, 409, 422)

    @router.post("", dependencies=trainer, status_code=201, responses=documented(404, 422, 429))
    def submit_run(body: RunRequest, request: Request, runs: Runs) -> RunView:
        """Put a run, or a study of several, into the queue."""
        return runs.submit(body.config, body.overrides, body.seeds, body.name, owner=_caller_name(request))

    @router.get("", dependencies=trainer)
    def list_runs(runs: Runs) -> RunList:
        """All runs, newest first."""
        return RunList(runs=runs.list_runs())

    @router.get("/{run_id}", dependencies=trainer, responses=errors)
    def show_run(run_id: str, runs: Runs) -> RunView:
        """One run: its state, how far it is, the time it still takes."""
        return runs.get(run_id)

    @router.get(
        "/{run_id}/config",
        dependencies=trainer,
        responses=errors | _text("text/yaml"),
        response_class=PlainTextResponse,
    )
    def show_config(run_id: str, runs: Runs) -> Response:
        """The whole config, defaults included."""
        return Response(runs.config_text(run_id), media_type=YAML_MEDIA_TYPE)

    @router.get("/{run_id}/metrics", dependencies=trainer, responses=errors)
    def show_metrics(run_id: str, runs: Runs) -> RunMetrics:
        """Its curves."""
        return runs.metrics(run_id)

    @router.get("/{run_id}/per-class", dependencies=trainer, responses=errors)
    def show_per_class(run_id: str, runs: Runs) -> PerClass:
        """Average precision of every class; measured once the run is done."""
        return runs.per_class(run_id)

    @router.get("/{run_id}/logs", dependencies=trainer, responses=errors, response_class=PlainTextResponse)
    def show_log(run_id: str, runs: Runs, tail: Annotated[int, Query(ge=1, le=MAX_LOG_LINES)] = 200) -> str:
        """The last lines of its output."""
        return runs.log_text(run_id, tail)

    @router.get("/{run_id}/events", dependencies=trainer, responses=errors | EVENT_STREAM, response_class=Response)
    async def stream_events(
        run_id: str,
        runs: Runs,
        last_event_id: Annotated[str | None, Header()] = None,
        replay: Annotated[
            int | None, Query(ge=0, description="Lines of each curve to begin with; all if left out.")
        ] = None,
    ) -> EventSourceResponse:
        """What happens to it, as it happens: events `run`, `metrics`, `log`, and `end`."""
        events = runs.events(run_id, last_event_id, replay)
        return EventSourceResponse(_encoded(events), ping=PING_S)

    @router.post("/{run_id}/stop", dependencies=trainer, responses=conflicts)
    def stop_run(run_id: str, runs: Runs) -> RunView:
        """Have it write a checkpoint and end; one that waits leaves the queue."""
        return runs.stop(run_id)

    @router.post("/{run_id}/resume", dependencies=trainer, responses=conflicts)
    def resume_run(run_id: str, runs: Runs) -> RunView:
        """Put it into the queue again; it goes on from its last checkpoint."""
        return runs.resume(run_id)

    @router.delete("/{run_id}", dependencies=trainer, responses=conflicts, status_code=204)
    def delete_run(run_id: str, runs: Runs) -> Response:
        """Delete its folder, log and config; models made of it stay."""
        runs.delete(run_id)
        return Response(status_code=204)

    @router.post("/{run_id}/model", dependencies=trainer, responses=conflicts, status_code=201)
    def make_model(run_id: str, body: ModelRequest, runs: Runs) -> ModelResponse:
        """Make a model of the service of its newest checkpoint, or its best."""
        runs.make_model(run_id, body.name, seed=body.seed, case=body.case, best=body.best)
        return describe_model(body.name)

    return router


def _runs(request: Request) -> RunService:
    return request.app.state.runs


Runs = Annotated[RunService, Depends(_runs)]


def _caller_name(request: Request) -> str | None:
    return getattr(getattr(request.state, "caller", None), "name", None)


def _text(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {"schema": {"type": "string"}}}, "description": "Text."}}


async def _encoded(events: AsyncIterator[RunEvent]) -> AsyncIterator[ServerSentEvent]:
    async for event in events:
        yield ServerSentEvent(json.dumps(event.data), event=event.name, id=event.id)
