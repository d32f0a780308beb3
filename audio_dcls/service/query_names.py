"""Refuses query parameters that a route does not know, instead of doing something else than what was asked."""

from __future__ import annotations

import difflib

from fastapi import Request
from fastapi.routing import APIRoute

from audio_dcls.errors import ServiceError


def refuse_unknown_query(request: Request) -> None:
    """A dependency of a router: every query parameter must be one that its route describes in OpenAPI.

    Raises:
        ServiceError: 422, one is not.
    """
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    operation = request.app.openapi()["paths"][route.path_format][request.method.lower()]
    known = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"those known here are {', '.join(known) or 'none'}"
            message = f"there is no query parameter '{name[:80]}'; {hint}"
            raise ServiceError(message, status=422, code="invalid")
