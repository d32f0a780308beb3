"""Refuse query parameters that a route does not have.

FastAPI's query models can forbid them too, but only on routes with such a model, and without the nearest known name.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import APIRoute

from audio_dcls.errors import ServiceError
from audio_dcls.near_names import did_you_mean


def refuse_unknown_query(request: Request) -> None:
    """A dependency for routers: refuse query parameters that the route's OpenAPI description does not list.

    Raises:
        ServiceError: 422, a parameter is unknown.
    """
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    operation = request.app.openapi()["paths"][route.path_format][request.method.lower()]
    known = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            otherwise = f"the parameters here are {', '.join(known)}" if known else "this route has no parameters"
            message = f"there is no query parameter '{name[:80]}'; {did_you_mean(name, known, otherwise)}"
            raise ServiceError(message, status=422, code="invalid")
