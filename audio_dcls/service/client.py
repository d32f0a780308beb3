"""A typed, synchronous client of the service; from the extra `[serve]` it needs only the package httpx.

with Client("http://127.0.0.1:8000") as client:
    for tag in client.tag("street.wav").tags:
        print(tag.name, tag.score)
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pydantic

from audio_dcls.errors import ServiceError
from audio_dcls.service.runs.schemas import PerClass, RunList, RunMetrics, RunView
from audio_dcls.service.schemas import BatchResponse, Info, ModelList, ModelResponse, TagFailed, TagResponse

_ModelType = TypeVar("_ModelType", bound=pydantic.BaseModel)
_FINAL = ("stopped", "done", "failed")
_BUSY = 503
_MAX_WAIT_S = 30.0


class Client:
    """Calls a service; use it as a context manager.

    Args:
        address: the address of the service, such as "http://127.0.0.1:8000".
        key: an API key, if the service needs one.
        timeout_s: time to wait for an answer.
        retries: how often a request to a busy service is sent again, after the time that the service names.
        transport: a transport of httpx; for tests.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout_s: float = 120.0,
        retries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self.retries = retries
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout_s, transport=transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def info(self) -> Info:
        """Information about the service and its limits."""
        return self._get(Info, "/v1/info")

    def tag(
        self, sound: str | Path | bytes, *, name: str | None = None, model: str | None = None, **options: Any
    ) -> TagResponse:
        """Tag a sound.

        Args:
            sound: a file, or its bytes.
            name: the sound's name in messages; by default the file's name.
            model: the model's name; None for the default model.
            options: top_k, threshold, timeline, window_s, hop_s, pooling, short, classes, timeout_s and picture, as in
                `POST /v1/tag`.

        Raises:
            ServiceError: the service refuses the sound, or cannot be reached.
            OSError: the file cannot be read.
        """
        content = sound if isinstance(sound, bytes) else Path(sound).read_bytes()
        name = name or (None if isinstance(sound, bytes) else Path(sound).name)
        query = _query(model=model, name=name, **options)
        return self._read(TagResponse, self._send("POST", "/v1/tag", params=query, content=content))

    def tag_batch(
        self, sounds: Sequence[str | Path], *, model: str | None = None, **options: Any
    ) -> list[TagResponse | TagFailed]:
        """Tag several files in one request.

        Returns:
            An outcome per file, in their order; `TagFailed` for a file that is not sound.

        Raises:
            ServiceError: the service refuses the request, or cannot be reached.
            OSError: a file cannot be read.
        """
        files = [("files", (Path(sound).name, Path(sound).read_bytes())) for sound in sounds]
        answer = self._send("POST", "/v1/tag/batch", params=_query(model=model, **options), files=files)
        return self._read(BatchResponse, answer).results

    def models(self) -> list[ModelResponse]:
        """All models."""
        return self._get(ModelList, "/v1/models").models

    def load_model(self, name: str) -> ModelResponse:
        """Load a model now (scope admin)."""
        return self._post(ModelResponse, f"/v1/models/{name}/load")

    def unload_model(self, name: str) -> ModelResponse:
        """Free a model's memory (scope admin)."""
        return self._post(ModelResponse, f"/v1/models/{name}/unload")

    def delete_model(self, name: str) -> None:
        """Delete a model that was made from a run (scope admin)."""
        self._send("DELETE", f"/v1/models/{name}")

    def submit(
        self,
        config: str | Mapping[str, Any],
        *,
        overrides: Mapping[str, Any] | None = None,
        seeds: Sequence[int] | None = None,
        name: str | None = None,
    ) -> RunView:
        """Put a run into the queue.

        Args:
            config: name of a config on the service, or its values.
            overrides: values by dotted key, such as {"loop.epochs": 5}.
            seeds: one run is trained per seed; None for the config's seeds.
            name: None for the config's name.
        """
        body = {"config": config, "overrides": dict(overrides or {}), "seeds": seeds and list(seeds), "name": name}
        return self._post(RunView, "/v1/runs", json=body)

    def runs(self) -> list[RunView]:
        """All runs, newest first."""
        return self._get(RunList, "/v1/runs").runs

    def run(self, run_id: str) -> RunView:
        """A run."""
        return self._get(RunView, f"/v1/runs/{run_id}")

    def wait(self, run_id: str, *, poll_s: float = 2.0, timeout_s: float | None = None) -> RunView:
        """Wait until a run is done, stopped or failed.

        Raises:
            TimeoutError: the run has not ended after `timeout_s`.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while (run := self.run(run_id)).state not in _FINAL:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"run '{run_id}' is {run.state} after {timeout_s:g} s")
            time.sleep(poll_s)
        return run

    def stop(self, run_id: str) -> RunView:
        """Make a run write a checkpoint and end."""
        return self._post(RunView, f"/v1/runs/{run_id}/stop")

    def resume(self, run_id: str) -> RunView:
        """Resume a run from its last checkpoint."""
        return self._post(RunView, f"/v1/runs/{run_id}/resume")

    def delete(self, run_id: str) -> None:
        """Delete a run and its files."""
        self._send("DELETE", f"/v1/runs/{run_id}")

    def metrics(self, run_id: str) -> RunMetrics:
        """A run's curves."""
        return self._get(RunMetrics, f"/v1/runs/{run_id}/metrics")

    def per_class(self, run_id: str) -> PerClass:
        """A run's average precision per class."""
        return self._get(PerClass, f"/v1/runs/{run_id}/per-class")

    def log(self, run_id: str, *, tail: int = 200) -> str:
        """The last lines of a run's output."""
        return self._send("GET", f"/v1/runs/{run_id}/logs", params={"tail": tail}).text

    def events(self, run_id: str) -> Iterator[tuple[str, Any]]:
        """The events of a run as they happen, until it ends.

        Yields:
            The kind of the event, "run", "metrics" or "log", and its data.
        """
        with self._http.stream("GET", f"/v1/runs/{run_id}/events", timeout=None) as answer:
            if answer.is_error:
                answer.read()
                raise _service_error(answer)
            kind, data = "message", ""
            for line in answer.iter_lines():
                if line.startswith("event:"):
                    kind = line.removeprefix("event:").strip()
                elif line.startswith("data:"):
                    data += line.removeprefix("data:").strip()
                elif not line and (data or kind == "end"):
                    if kind == "end":
                        return
                    yield kind, json.loads(data)
                    kind, data = "message", ""

    def make_model(
        self, run_id: str, name: str, *, seed: int | None = None, case: str | None = None, best: bool = False
    ) -> ModelResponse:
        """Make a model from a run's newest checkpoint, or its best."""
        body = {"name": name, "seed": seed, "case": case, "best": best}
        return self._post(ModelResponse, f"/v1/runs/{run_id}/model", json=body)

    def _get(self, kind: type[_ModelType], path: str) -> _ModelType:
        return self._read(kind, self._send("GET", path))

    def _post(self, kind: type[_ModelType], path: str, **body: Any) -> _ModelType:
        return self._read(kind, self._send("POST", path, **body))

    def _read(self, kind: type[_ModelType], answer: httpx.Response) -> _ModelType:
        return kind.model_validate_json(answer.content)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request, and send it again while the service is busy.

        Raises:
            ServiceError: the service refuses the request, or cannot be reached.
        """
        for attempt in range(self.retries + 1):
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                detail = str(error) or type(error).__name__
                message = f"the service at {self._http.base_url} does not answer ({detail}); is it running?"
                raise ServiceError(message, status=_BUSY, code="unreachable") from error
            if not answer.is_error:
                return answer
            if answer.status_code != _BUSY or attempt == self.retries:
                break
            time.sleep(_wait_s(answer))
        raise _service_error(answer)


def _query(*, classes: Sequence[str] | None = None, **values: Any) -> list[tuple[str, str]]:
    """Query parameters; values of None are left out."""
    given = [(name, _text(value)) for name, value in values.items() if value is not None]
    return given + [("class", name) for name in classes or ()]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wait_s(answer: httpx.Response) -> float:
    with contextlib.suppress(ValueError):
        return min(float(answer.headers.get("retry-after", "1")), _MAX_WAIT_S)
    return 1.0


def _service_error(answer: httpx.Response) -> ServiceError:
    problem: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        problem = answer.json()
    detail = problem.get("detail") or answer.reason_phrase
    return ServiceError(str(detail), status=answer.status_code, code=problem.get("code", "error"))
