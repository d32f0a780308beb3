"""Read the bodies of requests: limit their size and time, and store uploads under random names."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audio_dcls.errors import ServiceError
from audio_dcls.service.problems import problem_response
from audio_dcls.service.settings import ServiceSettings
from audio_dcls.service.tagging.decoding import Decoder

_UNNAMED = "upload"
_MAX_NAME_CHARACTERS = 120
_SOUND_PATHS = ("/v1/tag", "/v1/tag/batch")
_DRAINED_TIMES = 4
"""A body that is too long is read and dropped up to this multiple of the limit, so that its sender gets the answer."""


class BodyLimit:
    """Middleware that refuses bodies that are too long, by their declared length and by their real length."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app = app
        self.sound_bytes = int(settings.max_upload_mb * 1e6)
        self.other_bytes = int(settings.max_body_kb * 1e3)
        self.timeout_s = settings.upload_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        max_bytes = self.sound_bytes if scope["path"] in _SOUND_PATHS else self.other_bytes
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > max_bytes:
            if declared.isdigit() and int(declared) <= _DRAINED_TIMES * max_bytes:
                await _drain(receive, self.timeout_s)
            await problem_response(413, _too_long(max_bytes), "too_large")(scope, receive, send)
            return
        num_bytes = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + self.timeout_s
        is_whole = False

        async def counted() -> Message:
            nonlocal num_bytes, is_whole
            if is_whole:  # only the sender's disconnection follows, which has no deadline
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                detail = f"the body did not arrive within {self.timeout_s:g} s; send it again"
                raise HTTPException(408, detail) from None
            num_bytes += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if num_bytes > max_bytes:
                raise HTTPException(413, _too_long(max_bytes))
            return message

        await self.app(scope, counted, send)


async def _drain(receive: Receive, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while (await receive()).get("more_body", False):
                pass


def _too_long(max_bytes: int) -> str:
    return f"the body is longer than {max_bytes / 1e6:g} MB, the limit; send a shorter body"


@contextlib.asynccontextmanager
async def one_upload(request: Request, decoder: Decoder, name: str | None) -> AsyncIterator[tuple[Path, str]]:
    """The file in the field `file` of a multipart body, or the body itself, while the `async with` runs.

    Yields its path and the sender's name for it, or `name` for a body. Raises ServiceError if there is no such field
    (422) or the body is damaged (400).
    """
    with decoder.spooled() as path:
        if _is_multipart(request):
            async with several_uploads(request, decoder, "file", max_files=1) as found:
                yield found[0]
            return
        with path.open("wb") as file:
            try:
                async for chunk in request.stream():
                    file.write(chunk)
            except ClientDisconnect as error:
                raise _disconnected() from error
        yield path, _safe_name(name)


@contextlib.asynccontextmanager
async def several_uploads(
    request: Request, decoder: Decoder, field: str, *, max_files: int
) -> AsyncIterator[list[tuple[Path, str]]]:
    """The files in a field of a multipart body, while the `async with` runs.

    Raises:
        ServiceError: 422, there is no file, or too many; 415, the body is not multipart; 400, it is damaged.
    """
    if not _is_multipart(request):
        message = f"the body must be multipart/form-data with files in the field `{field}`"
        raise ServiceError(message, status=415, code="not_multipart")
    with contextlib.ExitStack() as stack:
        try:
            async with request.form(max_files=max_files + 1, max_fields=100) as form:
                given = [part for part in form.getlist(field) if isinstance(part, UploadFile)]
                if not 1 <= len(given) <= max_files:
                    message = f"the field `{field}` must hold 1 to {max_files} files, not {len(given)}"
                    raise ServiceError(message, status=422, code="invalid")
                found = []
                for part in given:
                    path = stack.enter_context(decoder.spooled())
                    await asyncio.to_thread(_copy, part, path)
                    found.append((path, _safe_name(part.filename)))
        except MultiPartException as error:
            raise ServiceError(f"the body is not multipart: {error.message}", status=400, code="bad_body") from error
        except ClientDisconnect as error:
            raise _disconnected() from error
        except HTTPException as error:
            if error.status_code != 400:
                raise
            message = f"the body is not complete multipart/form-data ({error.detail}); send the files in `{field}`"
            raise ServiceError(message, status=400, code="bad_body") from error
        yield found


def _is_multipart(request: Request) -> bool:
    """True if the request declares its body as a form with files."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _safe_name(name: str | None) -> str:
    r"""A sender's name for a file, without folders and control characters; no file is opened by this name.

    >>> _safe_name("../../etc/passwd"), _safe_name("C:\\sounds\\dog.wav"), _safe_name(None)
    ('passwd', 'dog.wav', 'upload')
    """
    last = PureWindowsPath(PurePosixPath(name or "").name).name
    printable = "".join(character for character in last if character.isprintable()).strip()
    return printable[:_MAX_NAME_CHARACTERS] or _UNNAMED


def _copy(part: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(part.file, file)


def _disconnected() -> ServiceError:
    return ServiceError("the sender disconnected before the whole body arrived", status=400, code="disconnected")
