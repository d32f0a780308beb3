"""`/v1/runs`: start, watch, stop, resume and delete training runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from audio_dcls.service.auth import require
from audio_dcls.service.problems import documented
from audio_dcls.service.query_names import refuse_unknown_query
from audio_dcls.service.runs.event_stream import RunEvent
from audio_dcls.service.runs.run_service import MAX_LOG_LINES, RunService
from audio_dcls.service.runs.schemas import ModelRequest, PerClass, RunList, RunMetrics, RunRequest, RunView
from audio_dcls.service.schemas import ModelResponse

_PING_S = 15
_YAML: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/yaml": {"schema": {"type": "string"}}}, "description": "Text."}
}
_EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Server-sent events."}
}


def build_router(describe_model: Callable[[str], ModelResponse]) -> APIRouter:
    """The routes for runs; the runs are in `request.app.state.runs`.

    Args:
        describe_model: returns the answer of `GET /v1/models/NAME`.
    """
    trainer = [Depends(require("train")), Depends(refuse_unknown_query)]
    router = APIRouter(prefix="/v1/runs", tags=["runs"], dependencies=trainer, responses=documented(401, 403, 422))
    _add_reading_routes(router)
    _add_changing_routes(router, describe_model)
    return router


def _add_reading_routes(router: APIRouter) -> None:
    errors = documented(404, 422)

    @router.get("")
    def list_runs(runs: _Runs) -> RunList:
        """All runs, newest first."""
        return RunList(runs=runs.list_runs())

    @router.get("/{run_id}", responses=errors)
    def show_run(run_id: str, runs: _Runs) -> RunView:
        """One run: its state, its progress, and the time left."""
        return runs.get(run_id)

    @router.get("/{run_id}/config", responses=errors | _YAML, response_class=PlainTextResponse)
    def show_config(run_id: str, runs: _Runs) -> Response:
        """The complete config, with defaults."""
        return Response(runs.config_text(run_id), media_type="text/yaml; charset=utf-8")

    @router.get("/{run_id}/metrics", responses=errors)
    def show_metrics(run_id: str, runs: _Runs) -> RunMetrics:
        """The curves of a run."""
        return runs.metrics(run_id)

    @router.get("/{run_id}/per-class", responses=errors)
    def show_per_class(run_id: str, runs: _Runs) -> PerClass:
        """Average precision per class, computed once the run is done."""
        return runs.per_class(run_id)

    @router.get("/{run_id}/logs", responses=errors, response_class=PlainTextResponse)
    def show_log(run_id: str, runs: _Runs, tail: Annotated[int, Query(ge=1, le=MAX_LOG_LINES)] = 200) -> str:
        """The last lines of a run's output."""
        return runs.log_text(run_id, tail)

    @router.get("/{run_id}/events", responses=errors | _EVENT_STREAM, response_class=Response)
    async def stream_events(
        run_id: str,
        runs: _Runs,
        last_event_id: Annotated[str | None, Header()] = None,
        replay: Annotated[
            int | None,
            Query(ge=0, description="Begin with only the last lines of each curve; by default with all."),
        ] = None,
    ) -> EventSourceResponse:
        """The events of a run as they happen: `run`, `metrics`, `log`, and `end`."""
        events = runs.events(run_id, last_event_id, replay)
        return EventSourceResponse(_encoded(events), ping=_PING_S)


def _add_changing_routes(router: APIRouter, describe_model: Callable[[str], ModelResponse]) -> None:
    conflicts = documented(404, 409, 422)

    @router.post("", status_code=201, responses=documented(404, 422, 429))
    def submit_run(body: RunRequest, request: Request, runs: _Runs) -> RunView:
        """Put a run, or a study of several cases, into the queue."""
        return runs.submit(body.config, body.overrides, body.seeds, body.name, owner=_caller_name(request))

    @router.post("/{run_id}/stop", responses=conflicts)
    def stop_run(run_id: str, runs: _Runs) -> RunView:
        """Make a run write a checkpoint and end; a queued run leaves the queue."""
        return runs.stop(run_id)

    @router.post("/{run_id}/resume", responses=conflicts)
    def resume_run(run_id: str, runs: _Runs) -> RunView:
        """Put a run into the queue again; it resumes from its last checkpoint."""
        return runs.resume(run_id)

    @router.delete("/{run_id}", responses=conflicts, status_code=204)
    def delete_run(run_id: str, runs: _Runs) -> Response:
        """Delete a run's folder, log and config; models made from it stay."""
        runs.delete(run_id)
        return Response(status_code=204)

    @router.post("/{run_id}/model", responses=conflicts, status_code=201)
    def make_model(run_id: str, body: ModelRequest, runs: _Runs) -> ModelResponse:
        """Make a model of the service from the run's newest checkpoint, or its best."""
        runs.make_model(run_id, body.name, seed=body.seed, case=body.case, best=body.best)
        return describe_model(body.name)


def _runs(request: Request) -> RunService:
    return request.app.state.runs


_Runs = Annotated[RunService, Depends(_runs)]


def _caller_name(request: Request) -> str | None:
    return getattr(getattr(request.state, "caller", None), "name", None)


async def _encoded(events: AsyncIterator[RunEvent]) -> AsyncIterator[ServerSentEvent]:
    async for event in events:
        yield ServerSentEvent(json.dumps(event.data), event=event.name, id=event.id)
