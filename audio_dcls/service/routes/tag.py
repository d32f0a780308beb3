"""`POST /v1/tag` and `POST /v1/tag/batch`: tag uploaded sounds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from audio_dcls.choices import Pooling, Short
from audio_dcls.service.auth import require
from audio_dcls.service.problems import documented
from audio_dcls.service.query_names import refuse_unknown_query
from audio_dcls.service.schemas import BatchResponse, TagResponse
from audio_dcls.service.settings import ModelName, ServiceSettings
from audio_dcls.service.tagging.upload_tagger import UploadTagger
from audio_dcls.service.tagging.uploads import one_upload, several_uploads
from audio_dcls.settings import Settings
from audio_dcls.tag_options import TagOptions, describe_option

_ERRORS = documented(400, 401, 403, 404, 408, 409, 413, 415, 422, 503, 504)
_PARALLEL_FILES = 4
"""Files of a batch that are decoded and computed at the same time."""
_BINARY = {"type": "string", "format": "binary"}


def _option(name: str, **rules: Any) -> Any:
    """A query parameter with the default and the description of an option of tagging."""
    return pydantic.Field(default=getattr(TagOptions, name), description=describe_option(name), **rules)


class TagQuery(Settings):
    """The query parameters of both routes."""

    model: ModelName | None = None
    """A model's name; by default the default model."""
    top_k: int = _option("top_k", ge=1, le=10_000)
    threshold: float | Literal["fitted"] | None = _option("threshold")
    timeline: bool = _option("timeline")
    window_s: float | None = _option("window_s", gt=0)
    hop_s: float | None = _option("hop_s", gt=0)
    pooling: Pooling = _option("pooling")
    short: Short = _option("short")
    classes: list[str] | None = _option("classes", alias="class")
    timeout_s: Annotated[float, pydantic.Field(ge=1, le=3600)] | None = None
    """Deadline, from the arrival of the request."""

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of `TagOptions`."""
        return self.model_dump(exclude={"model", "timeout_s", "picture", "name"})


class OneSoundQuery(TagQuery):
    """The query parameters of `POST /v1/tag`."""

    picture: bool = False
    """Send the envelope and the spectrogram."""
    name: str | None = None
    """The sound's name, if the body is the sound itself."""


def build_router(settings: ServiceSettings, tagger: UploadTagger) -> APIRouter:
    """The routes that tag uploads."""
    admitted = [Depends(require("tag")), Depends(refuse_unknown_query)]
    router = APIRouter(prefix="/v1/tag", tags=["tagging"], dependencies=admitted, responses=_ERRORS)
    file = {"file": {**_BINARY, "description": "A sound file."}}
    files = {"files": {"type": "array", "items": _BINARY}}

    @router.post("", response_model=TagResponse, openapi_extra=_body(file, {"application/octet-stream": _BINARY}))
    async def tag(request: Request, query: Annotated[OneSoundQuery, Query()]) -> JSONResponse:
        """Tag one sound of any format, rate and length: the file in the form field `file`, or the body itself."""
        upload = one_upload(request, tagger.decoder, query.name)
        async with tagger.admitted(query.timeout_s), upload as (path, name):
            return JSONResponse(
                await tagger.tag(path, name, model=query.model, options=query.options, picture=query.picture)
            )

    @router.post("/batch", response_model=BatchResponse, openapi_extra=_body(files))
    async def tag_batch(request: Request, query: Annotated[TagQuery, Query()]) -> JSONResponse:
        """Tag the sounds in the form field `files`; a sound that cannot be read gets an error in its place."""
        uploads = several_uploads(request, tagger.decoder, "files", max_files=settings.max_batch_files)
        async with tagger.admitted(query.timeout_s), uploads as found:
            slots = asyncio.Semaphore(_PARALLEL_FILES)

            async def outcome(path: Path, name: str) -> dict[str, Any]:
                async with slots:
                    return await tagger.tag_or_explain(path, name, model=query.model, options=query.options)

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(outcome(path, name)) for path, name in found]
            except ExceptionGroup as errors:  # an error of the options or the model, the same for all sounds
                raise errors.exceptions[0] from None
            return JSONResponse({"results": [task.result() for task in tasks]})

    return router


def _body(fields: dict[str, Any], others: dict[str, Any] | None = None) -> dict[str, Any]:
    """The OpenAPI description of a form body with required fields, or of other media types."""
    schemas = {"multipart/form-data": {"type": "object", "required": list(fields), "properties": fields}}
    content = {media_type: {"schema": schema} for media_type, schema in (schemas | (others or {})).items()}
    return {"requestBody": {"required": True, "content": content}}
