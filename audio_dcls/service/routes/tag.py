"""`POST /v1/tag` and `POST /v1/tag/batch`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from audio_dcls.service.auth import require
from audio_dcls.service.problems import documented
from audio_dcls.service.query_names import refuse_unknown_query
from audio_dcls.service.schemas import BatchResponse, TagResponse
from audio_dcls.service.settings import NAME_PATTERN, ServiceSettings
from audio_dcls.service.tagging.requests import Tagging
from audio_dcls.service.tagging.uploads import one_upload, several_uploads

ERRORS = documented(400, 401, 403, 404, 408, 409, 413, 415, 422, 503, 504)
FILES_AT_ONCE = 4
"""Files of a batch that are decoded and computed at a time."""
ONE_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary", "description": "A sound file."}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
SEVERAL_FILES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}


class TagQuery:
    """What is asked of the tagger."""

    def __init__(
        self,
        model: Annotated[
            str | None, Query(pattern=NAME_PATTERN, description="Name; the default model otherwise.")
        ] = None,
        top_k: Annotated[int, Query(ge=1, le=10_000, description="Tags at most.")] = 10,
        threshold: Annotated[
            float | Literal["fitted"] | None,
            Query(description="Least probability, 0 to 1, or `fitted`: those stored beside the weights."),
        ] = None,
        timeline: Annotated[bool, Query(description="Whether to say what is heard from when to when.")] = False,
        window_s: Annotated[float | None, Query(gt=0, description="Length of a window.")] = None,
        hop_s: Annotated[float | None, Query(gt=0, description="Time between windows.")] = None,
        pooling: Annotated[
            Literal["mean", "max", "noisy_or"], Query(description="A sound's scores from its windows'.")
        ] = "mean",
        short: Annotated[Literal["pad", "repeat"], Query(description="What fills a short window.")] = "pad",
        classes: Annotated[
            list[str] | None, Query(alias="class", description="Only these: names, ids or parents; repeat it.")
        ] = None,
        timeout_s: Annotated[float | None, Query(ge=1, le=3600, description="Deadline from its arrival.")] = None,
    ) -> None:
        self.model, self.timeout_s = model, timeout_s
        self.options: dict[str, Any] = {
            "top_k": top_k,
            "threshold": threshold,
            "timeline": timeline,
            "window_s": window_s,
            "hop_s": hop_s,
            "pooling": pooling,
            "short": short,
            "classes": classes,
        }


def build_router(settings: ServiceSettings, tagging: Tagging) -> APIRouter:
    """The routes."""
    allowed = [Depends(require("tag")), Depends(refuse_unknown_query)]
    router = APIRouter(prefix="/v1/tag", tags=["tagging"], dependencies=allowed, responses=ERRORS)

    @router.post("", response_model=TagResponse, openapi_extra=ONE_FILE)
    async def tag(
        request: Request,
        query: Annotated[TagQuery, Depends()],
        picture: Annotated[bool, Query(description="Whether to send envelope and spectrogram.")] = False,
        name: Annotated[str | None, Query(description="Name of a sound that is the body itself.")] = None,
    ) -> JSONResponse:
        """Tag one sound: a file in the form field `file`, or the body itself. Any format, rate and length."""
        async with tagging.admitted(query.timeout_s), one_upload(request, tagging.decoder, name) as (path, called):
            return JSONResponse(
                await tagging.tag(path, called, model=query.model, options=query.options, picture=picture)
            )

    @router.post("/batch", response_model=BatchResponse, openapi_extra=SEVERAL_FILES)
    async def tag_batch(request: Request, query: Annotated[TagQuery, Depends()]) -> JSONResponse:
        """Tag several sounds of the form field `files`; one that cannot be read is told of in its place."""
        uploads = several_uploads(request, tagging.decoder, "files", most=settings.max_batch_files)
        async with tagging.admitted(query.timeout_s), uploads as found:
            room = asyncio.Semaphore(FILES_AT_ONCE)

            async def outcome(path: Any, called: str) -> dict[str, Any]:
                async with room:
                    return await tagging.tag_or_say(path, called, model=query.model, options=query.options)

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(outcome(path, called)) for path, called in found]
            except ExceptionGroup as errors:  # of the options or the model, so the same for all
                raise errors.exceptions[0] from None
            return JSONResponse({"results": [task.result() for task in tasks]})

    return router
