"""Answer errors as problem details (RFC 9457), with a `code` for programs and a `detail` for people."""

from __future__ import annotations

import http
import logging
from typing import Any

import pydantic
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from audio_dcls.errors import AudioDclsError, AudioFileError, CheckpointError, ModelError, ServiceError

_MEDIA_TYPE = "application/problem+json"
_TOO_LARGE_REASONS = ("too_long", "too_large")
_NO_JSON_OBJECT = ("json_invalid", "model_attributes_type", "model_type")
logger = logging.getLogger("audio_dcls.service")


class Problem(pydantic.BaseModel):
    """An error (RFC 9457)."""

    type: str = "about:blank"
    title: str
    """The name of the status."""
    status: int
    detail: str
    """The error, with the wrong value and the remedy."""
    code: str
    """A short, stable code for programs."""
    request_id: str | None = None
    """The id in the header X-Request-ID and in the log."""


def problem_response(status: int, detail: str, code: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as a response."""
    title = http.HTTPStatus(status).phrase
    problem = Problem(title=title, status=status, detail=detail, code=code, request_id=correlation_id.get())
    return JSONResponse(problem.model_dump(), status, headers=headers, media_type=_MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its OpenAPI description."""
    content = {_MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {s: {"description": http.HTTPStatus(s).phrase, "content": content} for s in statuses}


def status_and_code(error: AudioDclsError) -> tuple[int, str]:
    """The status and the code with which an error is answered.

    >>> status_and_code(AudioFileError("'a.wav' is empty", reason="empty"))
    (422, 'empty')
    """
    if isinstance(error, ServiceError):
        return error.status, error.code
    if isinstance(error, AudioFileError):
        return (413 if error.reason in _TOO_LARGE_REASONS else 422), error.reason
    if isinstance(error, CheckpointError | ModelError):
        return 409, "model_unusable"
    return 422, "invalid"


def install_handlers(app: FastAPI) -> None:
    """Answer every error as a problem; an unexpected error is logged with its trace and answered with 500."""

    @app.exception_handler(AudioDclsError)
    def answer_library_error(_request: Request, error: AudioDclsError) -> JSONResponse:
        status, code = status_and_code(error)
        headers = getattr(error, "headers", None)
        return problem_response(status, str(error), code, headers)

    @app.exception_handler(RequestValidationError)
    def answer_invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(422, "; ".join(_describe(item) for item in error.errors()), "invalid")

    @app.exception_handler(HTTPException)
    def answer_http_error(_request: Request, error: HTTPException) -> JSONResponse:
        code = http.HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return problem_response(error.status_code, str(error.detail), code, dict(error.headers or {}))

    @app.exception_handler(Exception)
    def answer_unexpected_error(request: Request, error: Exception) -> JSONResponse:
        logger.error("unexpected error", exc_info=error, extra={"path": request.url.path})
        detail = "an unexpected error occurred in the service; its log has the details under the request id"
        return problem_response(500, detail, "internal_error")


def _describe(item: Any) -> str:
    """One error of pydantic as a message that names the place and the value."""
    place, *names = item["loc"] or ("request",)
    if place == "body" and item["type"] in _NO_JSON_OBJECT:
        return "the body must be a JSON object, sent with `Content-Type: application/json`"
    name = ".".join(str(n) for n in names) or str(place)
    message = item["msg"].removeprefix("Value error, ")
    value = "" if item["type"] == "missing" or isinstance(item.get("input"), dict) else f" (={_short(item['input'])})"
    return f"{place} `{name}`{value}: {message[0].lower()}{message[1:]}"


def _short(value: Any, max_length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= max_length else text[: max_length - 1] + "…"
