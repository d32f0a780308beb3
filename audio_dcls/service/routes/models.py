"""`/v1/models`: list, load, unload and delete models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from audio_dcls.service.auth import require
from audio_dcls.service.problems import documented
from audio_dcls.service.query_names import refuse_unknown_query
from audio_dcls.service.schemas import ModelList, ModelResponse
from audio_dcls.service.settings import NAME_PATTERN
from audio_dcls.service.tagging.model_cards import read_card
from audio_dcls.service.tagging.model_store import ModelStore, StoredModel

_Name = Annotated[str, Path(pattern=NAME_PATTERN)]


def build_router(store: ModelStore) -> APIRouter:
    """The routes for models."""
    router = APIRouter(prefix="/v1/models", tags=["models"], responses=documented(401, 403, 422))
    anyone = [Depends(require()), Depends(refuse_unknown_query)]
    admin = [Depends(require("admin")), Depends(refuse_unknown_query)]
    errors = documented(404, 409, 422)

    def described(model: StoredModel) -> ModelResponse:
        return describe(store, model.name)

    @router.get("", dependencies=anyone)
    def list_models() -> ModelList:
        """All models, loaded or not."""
        return ModelList(models=[described(model) for model in store.models()])

    @router.get("/{name}", dependencies=anyone, responses=errors)
    def show_model(name: _Name) -> ModelResponse:
        """One model."""
        return described(store.find(name))

    @router.post("/{name}/load", dependencies=admin, responses=errors)
    async def load_model(name: _Name) -> ModelResponse:
        """Load a model now, not with the first request for it."""
        return described(await store.load(name))

    @router.post("/{name}/unload", dependencies=admin, responses=errors)
    async def unload_model(name: _Name) -> ModelResponse:
        """Free a model's memory; the next request for the model loads it again."""
        return described(await store.unload(name))

    @router.delete("/{name}", dependencies=admin, responses=errors, status_code=204)
    async def delete_model(name: _Name) -> Response:
        """Delete a model that was made from a run; models in the settings cannot be deleted."""
        await store.remove(name)
        return Response(status_code=204)

    return router


def describe(store: ModelStore, name: str) -> ModelResponse:
    """The description of a model; raises ServiceError (404) if there is no such model."""
    model = store.find(name)
    return ModelResponse(
        name=model.name,
        state=model.state,
        is_default=model.name == store.default_name(),
        is_removable=model.is_removable,
        source=model.source,
        error=model.error,
        **read_card(model.source),
    )
