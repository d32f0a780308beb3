"""A client of the service: typed, synchronous; of the packages of the extra `[serve]` it needs httpx alone.

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

ModelType = TypeVar("ModelType", bound=pydantic.BaseModel)
FINAL = ("stopped", "done", "failed")
BUSY = 503
LONGEST_WAIT_S = 30.0


class Client:
    """Talks to a service; a context manager.

    Args:
        address: of the service, such as "http://127.0.0.1:8000".
        key: an API key, where it needs one.
        timeout_s: how long to wait for an answer.
        retries: how often a request is sent again that the service is too busy for; it says itself after how long.
        transport: of httpx, for tests.
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
        """What the service has and takes."""
        return self._get(Info, "/v1/info")

    def tag(
        self, sound: str | Path | bytes, *, name: str | None = None, model: str | None = None, **options: Any
    ) -> TagResponse:
        """Tag a sound.

        Args:
            sound: a file, or the bytes of one.
            name: of bytes, for messages.
            model: by name; the default one if None.
            options: top_k, threshold, timeline, window_s, hop_s, pooling, short, classes, timeout_s, picture; as of
                `POST /v1/tag`.

        Raises:
            ServiceError: the service refuses it, or cannot be reached.
            OSError: the file cannot be read.
        """
        content = sound if isinstance(sound, bytes) else Path(sound).read_bytes()
        called = name or (None if isinstance(sound, bytes) else Path(sound).name)
        query = _query(model=model, name=called, **options)
        return self._read(TagResponse, self._send("POST", "/v1/tag", params=query, content=content))

    def tag_batch(
        self, sounds: Sequence[str | Path], *, model: str | None = None, **options: Any
    ) -> list[TagResponse | TagFailed]:
        """Tag several files in one request.

        Returns:
            An outcome for each, in their order; `TagFailed` for one that is no sound.

        Raises:
            ServiceError: the service refuses all of them, or cannot be reached.
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
        """Delete a model that was made of a run (scope admin)."""
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
            config: name of a config the service knows, or its values.
            overrides: values by dotted key, such as {"loop.epochs": 5}.
            seeds: one run each; the config's if None.
            name: the config's if None.
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
            TimeoutError: it is not, after `timeout_s`.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while (run := self.run(run_id)).state not in FINAL:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"run '{run_id}' is {run.state} after {timeout_s:g} s")
            time.sleep(poll_s)
        return run

    def stop(self, run_id: str) -> RunView:
        """Have a run write a checkpoint and end."""
        return self._post(RunView, f"/v1/runs/{run_id}/stop")

    def resume(self, run_id: str) -> RunView:
        """Have a run go on from its last checkpoint."""
        return self._post(RunView, f"/v1/runs/{run_id}/resume")

    def delete(self, run_id: str) -> None:
        """Delete a run with all it wrote."""
        self._send("DELETE", f"/v1/runs/{run_id}")

    def metrics(self, run_id: str) -> RunMetrics:
        """A run's curves."""
        return self._get(RunMetrics, f"/v1/runs/{run_id}/metrics")

    def per_class(self, run_id: str) -> PerClass:
        """A run's average precision by class."""
        return self._get(PerClass, f"/v1/runs/{run_id}/per-class")

    def log(self, run_id: str, *, tail: int = 200) -> str:
        """The last lines of a run's output."""
        return self._send("GET", f"/v1/runs/{run_id}/logs", params={"tail": tail}).text

    def events(self, run_id: str) -> Iterator[tuple[str, Any]]:
        """What happens to a run, as it happens, until it ends.

        Yields:
            "run", "metrics" or "log", and what came with it.
        """
        with self._http.stream("GET", f"/v1/runs/{run_id}/events", timeout=None) as answer:
            if answer.is_error:
                answer.read()
                raise _refused(answer)
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
        """Make a model of a run's newest checkpoint, or its best."""
        body = {"name": name, "seed": seed, "case": case, "best": best}
        return self._post(ModelResponse, f"/v1/runs/{run_id}/model", json=body)

    def _get(self, kind: type[ModelType], path: str) -> ModelType:
        return self._read(kind, self._send("GET", path))

    def _post(self, kind: type[ModelType], path: str, **body: Any) -> ModelType:
        return self._read(kind, self._send("POST", path, **body))

    def _read(self, kind: type[ModelType], answer: httpx.Response) -> ModelType:
        return kind.model_validate_json(answer.content)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request, again where the service is busy.

        Raises:
            ServiceError: it refuses, or cannot be reached.
        """
        for attempt in range(self.retries + 1):
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                detail = str(error) or type(error).__name__
                message = f"the service at {self._http.base_url} does not answer ({detail}); is it running?"
                raise ServiceError(message, status=BUSY, code="unreachable") from error
            if not answer.is_error:
                return answer
            if answer.status_code != BUSY or attempt == self.retries:
                break
            time.sleep(_wait_s(answer))
        raise _refused(answer)


def _query(*, classes: Sequence[str] | None = None, **values: Any) -> list[tuple[str, str]]:
    """Parameters of an address; what is None is left out."""
    given = [(name, _text(value)) for name, value in values.items() if value is not None]
    return given + [("class", name) for name in classes or ()]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wait_s(answer: httpx.Response) -> float:
    with contextlib.suppress(ValueError):
        return min(float(answer.headers.get("retry-after", "1")), LONGEST_WAIT_S)
    return 1.0


def _refused(answer: httpx.Response) -> ServiceError:
    problem: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        problem = answer.json()
    detail = problem.get("detail") or answer.reason_phrase
    return ServiceError(str(detail), status=answer.status_code, code=problem.get("code", "error"))
