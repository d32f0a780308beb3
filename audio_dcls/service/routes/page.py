"""The page at `/`, its files, and the API's description at `/docs`; no file comes from another site."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STATIC = Path(str(importlib.resources.files("audio_dcls.service"))) / "static"
_CONTENT_SECURITY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_DOCS_SECURITY = _CONTENT_SECURITY + "; script-src 'self' 'unsafe-inline'"


def install_page(app: FastAPI) -> None:
    """Serve the page and the API's description."""
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    swagger = Path(str(importlib.resources.files("fastapi_offline"))) / "static"
    app.mount("/docs-static", StaticFiles(directory=swagger), name="docs-static")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(_STATIC / "favicon.svg", media_type="image/svg+xml")

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        del request
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="audio_dcls API",
            swagger_js_url="/docs-static/swagger-ui-bundle.js",
            swagger_css_url="/docs-static/swagger-ui.css",
            swagger_favicon_url="/static/favicon.svg",
        )


class SecurityHeaders:
    """Middleware that tells browsers what they may do with each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        policy = _DOCS_SECURITY if scope["path"] == "/docs" else _CONTENT_SECURITY
        extra = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
        ]
        if scope["path"].startswith("/static"):
            extra.append((b"cache-control", b"no-cache"))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self.app(scope, receive, with_headers)
