"""Access control: API keys with scopes, and no requests from pages of other sites."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from audio_dcls.errors import ServiceError
from audio_dcls.service.keys import SCOPES, KeyFile
from audio_dcls.service.problems import problem_response
from audio_dcls.service.settings import ServiceSettings

SUBPROTOCOL = "audio-dcls"
_KEY_PROTOCOL = "key."
"""Browsers cannot set headers for a WebSocket; they offer the protocols `audio-dcls` and `key.KEY` instead."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_bearer = HTTPBearer(
    auto_error=False, description="An API key from `audio-dcls keys add`, if the service requires keys."
)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


@dataclass(frozen=True)
class Caller:
    """The sender of a request."""

    name: str | None
    """The key's name; None without a key."""
    scopes: tuple[str, ...]


class Authority:
    """Identifies callers by their keys."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.needs_keys = settings.needs_keys
        self.keys = KeyFile(settings.keys_path)

    def caller(self, text: str | None) -> Caller:
        """The caller with a key.

        Raises:
            ServiceError: 401, a key is needed, or the key is unknown.
        """
        if text is None and not self.needs_keys:
            return Caller(None, SCOPES)
        key = None if text is None else self.keys.find(text)
        if key is None:
            problem = "an API key is needed" if text is None else "this API key is unknown"
            message = f"{problem}; send a key in the header 'Authorization: Bearer KEY' (audio-dcls keys add makes one)"
            raise ServiceError(message, status=401, code="unauthorized", headers={"WWW-Authenticate": "Bearer"})
        return Caller(key.name, key.scopes)


def require(*scopes: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency that admits callers with at least one of the scopes; without scopes, it admits every caller."""

    async def check(request: Request, credentials: _Credentials) -> Caller:
        authority: Authority = request.app.state.authority
        caller = authority.caller(None if credentials is None else credentials.credentials)
        request.state.caller = caller
        check_scope(caller, scopes)
        return caller

    return check


def check_scope(caller: Caller, scopes: Iterable[str]) -> None:
    """Check that a caller has at least one of the scopes.

    Raises:
        ServiceError: 403, the caller has no such scope.
    """
    required = tuple(scopes)
    if required and not set(required) & set(caller.scopes):
        held = ", ".join(caller.scopes)
        message = f"this API key ('{caller.name}') has the scopes {held}; the request needs {required[0]}"
        raise ServiceError(message, status=403, code="forbidden")


def websocket_key(connection: HTTPConnection) -> str | None:
    """The key of a WebSocket, from its header or from a protocol that it offers."""
    header = connection.headers.get("authorization", "")
    if header.lower().startswith("bearer "):
        return header[len("bearer ") :].strip()
    offered = [protocol.strip() for protocol in connection.headers.get("sec-websocket-protocol", "").split(",")]
    return next((p.removeprefix(_KEY_PROTOCOL) for p in offered if p.startswith(_KEY_PROTOCOL)), None)


class SameSite:
    """Middleware that refuses requests from pages of other sites; a browser would let them call a service without keys.

    Without keys, the Host header must name this machine, so that a foreign name that resolves to it is refused. An
    Origin header must name the service itself, or one of `cors_origins`.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app = app
        self.origins = settings.cors_origins
        self.hosts = (
            None if settings.needs_keys else {"localhost", "127.0.0.1", "::1", settings.host, *settings.allowed_hosts}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        problem = self._problem(Headers(scope=scope), scope.get("method", "GET"), scope["type"])
        if problem is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await problem_response(403, problem, "foreign_site")(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": problem[:120]})

    def _problem(self, headers: Headers, method: str, kind: str) -> str | None:
        host = headers.get("host", "")
        if self.hosts is not None and _host_name(host) not in self.hosts:
            return f"host '{host[:80]}' is not a name of this service; add it to the setting `allowed_hosts`"
        origin = headers.get("origin")
        if origin is None or (kind == "http" and method in _SAFE_METHODS):
            return None
        if urlsplit(origin).netloc.lower() == host.lower() or origin in self.origins:
            return None
        return f"pages of '{origin[:80]}' may not call this service; add it to the setting `cors_origins`"


def _host_name(host: str) -> str:
    """The name in a Host header, without the port.

    >>> _host_name("[::1]:8000"), _host_name("localhost")
    ('::1', 'localhost')
    """
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
