"""The models of the service: found by name, loaded when needed, unloaded to make room for others."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from audio_dcls.errors import AudioDclsError, ServiceError
from audio_dcls.inference import Tagger
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.service.observability import Metrics
from audio_dcls.service.settings import NAME_PATTERN, ServiceSettings
from audio_dcls.service.tagging.batcher import Batcher

State = Literal["unloaded", "loading", "loaded", "failed"]
_SUFFIX = Path(MODEL_FILE).suffix


@dataclass(eq=False)
class StoredModel:
    """A model with a name."""

    name: str
    source: str
    """A path, or the name of published weights."""
    is_removable: bool
    """True if the service made the file and may delete it."""
    state: State = "unloaded"
    error: str | None = None
    tagger: Tagger | None = None
    batcher: Batcher | None = None
    last_used: float = 0.0
    num_users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ModelStore:
    """Models by name."""

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self._models: dict[str, StoredModel] = {}
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._load = ThreadPoolExecutor(1, thread_name_prefix="load")

    def models(self) -> list[StoredModel]:
        """All models: those in the settings, then those in the folder of models, by name."""
        found = {
            name: self._models.get(name) or StoredModel(name, source, is_removable=False)
            for name, source in self.settings.models.items()
        }
        for path in sorted(self.settings.models_dir.glob(f"*{_SUFFIX}")):
            if re.match(NAME_PATTERN, path.stem) and path.stem not in found:
                found[path.stem] = self._models.get(path.stem) or StoredModel(path.stem, str(path), is_removable=True)
        self._models = found
        return list(found.values())

    def default_name(self) -> str | None:
        """The model for requests that do not name one; None if there is no model."""
        if self.settings.default_model is not None:
            return self.settings.default_model
        if self.settings.models:
            return next(iter(self.settings.models))
        sources = {model.name: Path(model.source) for model in self.models() if model.is_removable}
        return max(sources, key=lambda name: sources[name].stat().st_mtime_ns, default=None)

    def find(self, name: str | None) -> StoredModel:
        """The model with a name, or the default model; raises ServiceError (404) if there is none."""
        wanted = name if name is not None else self.default_name()
        models = {model.name: model for model in self.models()}
        if wanted is None or wanted not in models:
            if not models:
                message = "there is no model yet; train one with POST /v1/runs, or name one in the setting `models`"
                raise ServiceError(message, status=404, code="no_model")
            message = f"`model` (={wanted!r}) does not exist; the models are {', '.join(sorted(models))}"
            raise ServiceError(message, status=404, code="unknown_model")
        return models[wanted]

    @contextlib.asynccontextmanager
    async def using(self, name: str | None) -> AsyncIterator[tuple[StoredModel, Tagger, Batcher]]:
        """A loaded model, which stays loaded while the body of the `with` statement runs.

        Raises:
            ServiceError: there is no such model.
            CheckpointError: the model cannot be loaded.
        """
        model = self.find(name)
        async with model.lock:
            await self._loaded(model)
            model.num_users += 1
        model.last_used = time.monotonic()
        assert model.tagger is not None and model.batcher is not None
        try:
            yield model, model.tagger, model.batcher
        finally:
            model.num_users -= 1

    async def load(self, name: str) -> StoredModel:
        """Load a model now; raises ServiceError if there is no such model, CheckpointError if it cannot be loaded."""
        model = self.find(name)
        async with model.lock:
            await self._loaded(model)
        return model

    async def unload(self, name: str) -> StoredModel:
        """Unload a model once its requests are answered; raises ServiceError if there is no such model."""
        model = self.find(name)
        async with model.lock:
            model.tagger, model.batcher, model.state, model.error = None, None, "unloaded", None
        return model

    async def remove(self, name: str) -> None:
        """Delete a model's file; raises ServiceError if there is no such model, or the settings name it."""
        model = self.find(name)
        if not model.is_removable:
            message = f"model '{name}' is named in the settings, so the service does not delete it; remove it there"
            raise ServiceError(message, status=409, code="not_removable")
        await self.unload(name)
        Path(model.source).unlink(missing_ok=True)
        self._models.pop(name, None)

    async def close(self) -> None:
        """Compute the waiting windows, then stop the threads."""
        for model in list(self._models.values()):
            if model.batcher is not None:
                await model.batcher.drain()
        self._compute.shutdown()
        self._load.shutdown(cancel_futures=True)

    async def _loaded(self, model: StoredModel) -> None:
        """Load a model if it is not loaded; the caller holds its lock."""
        if model.tagger is not None:
            return
        await self._make_room()
        model.state, model.error = "loading", None
        settings = self.settings
        try:
            load = functools.partial(
                Tagger.load, device=settings.device, backend=settings.backend, precision=settings.precision
            )
            tagger = await asyncio.get_running_loop().run_in_executor(self._load, load, model.source)
        except AudioDclsError as error:
            model.state, model.error = "failed", str(error)
            raise
        finally:
            if model.state == "loading":
                model.state = "failed"
        model.batcher = Batcher(
            tagger.backend,
            self._compute,
            batch_windows=settings.batch_windows,
            gather_s=settings.gather_ms / 1000,
            on_batch=self.metrics.count_batch,
        )
        model.tagger, model.state = tagger, "loaded"

    async def _make_room(self) -> None:
        loaded = [model for model in self._models.values() if model.tagger is not None]
        idle = sorted((model for model in loaded if not model.num_users), key=lambda model: model.last_used)
        for model in idle[: max(0, len(loaded) + 1 - self.settings.max_loaded_models)]:
            await self.unload(model.name)
