"""Who may do what: API keys with scopes, and no calls from other sites' pages."""

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
KEY_PROTOCOL = "key."
"""Browsers cannot set headers of a WebSocket; they offer the protocols `audio-dcls` and `key.KEY`."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
bearer = HTTPBearer(
    auto_error=False, description="An API key of `audio-dcls keys add`; needed where keys are required."
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


@dataclass(frozen=True)
class Caller:
    """Who sent a request."""

    name: str | None
    """Of the key; None without one."""
    scopes: tuple[str, ...]


class Authority:
    """Tells callers by their keys.

    Args:
        settings: of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.needs_keys = settings.needs_keys
        self.keys = KeyFile(settings.keys_path)

    def caller(self, text: str | None) -> Caller:
        """Whose key this is.

        Raises:
            ServiceError: 401, a key is needed, or this one is not known.
        """
        if text is None and not self.needs_keys:
            return Caller(None, SCOPES)
        key = None if text is None else self.keys.find(text)
        if key is None:
            what = "an API key is needed" if text is None else "this API key is not known"
            message = f"{what}; send one as the header 'Authorization: Bearer KEY' (audio-dcls keys add makes one)"
            raise ServiceError(message, status=401, code="unauthorized", headers={"WWW-Authenticate": "Bearer"})
        return Caller(key.name, key.scopes)


def require(*scopes: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency that lets callers pass who have one of some scopes; any, where none is named."""

    async def check(request: Request, credentials: Credentials) -> Caller:
        authority: Authority = request.app.state.authority
        caller = authority.caller(None if credentials is None else credentials.credentials)
        request.state.caller = caller
        check_scope(caller, scopes)
        return caller

    return check


def check_scope(caller: Caller, scopes: Iterable[str]) -> None:
    """Let a caller pass who has one of some scopes.

    Raises:
        ServiceError: 403.
    """
    wanted = tuple(scopes)
    if wanted and not set(wanted) & set(caller.scopes):
        message = f"this API key ('{caller.name}') has the scopes {', '.join(caller.scopes)}; this needs {wanted[0]}"
        raise ServiceError(message, status=403, code="forbidden")


def websocket_key(connection: HTTPConnection) -> str | None:
    """The key of a WebSocket: of its header, or of a protocol it offers."""
    header = connection.headers.get("authorization", "")
    if header.lower().startswith("bearer "):
        return header[len("bearer ") :].strip()
    offered = [protocol.strip() for protocol in connection.headers.get("sec-websocket-protocol", "").split(",")]
    return next((p.removeprefix(KEY_PROTOCOL) for p in offered if p.startswith(KEY_PROTOCOL)), None)


class SameSite:
    """Turns away pages of other sites, which a browser on this machine would let call a service without keys.

    Without keys the Host header must name this machine (a foreign name that was made to resolve to it does not); an
    Origin must be that of the service, or one of `cors_origins`.

    Args:
        app: what answers.
        settings: of the service.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app = app
        self.origins = settings.cors_origins
        self.hosts = (
            None if settings.needs_keys else {"localhost", "127.0.0.1", "::1", settings.host, *settings.allowed_hosts}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or turn it away."""
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
            return f"host '{host[:80]}' is not this service's; name it in the setting `allowed_hosts`"
        origin = headers.get("origin")
        if origin is None or (kind == "http" and method in SAFE_METHODS):
            return None
        if urlsplit(origin).netloc.lower() == host.lower() or origin in self.origins:
            return None
        return f"pages of '{origin[:80]}' may not call this service; name it in the setting `cors_origins`"


def _host_name(host: str) -> str:
    """The name of a Host header, without its port.

    >>> _host_name("[::1]:8000"), _host_name("localhost")
    ('::1', 'localhost')
    """
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
