"""Runs over HTTP: answers, scopes, and refused requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI
from starlette.testclient import TestClient

from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.service.auth import Authority
from audio_dcls.service.keys import KeyFile
from audio_dcls.service.problems import install_handlers
from audio_dcls.service.routes import runs as routes
from audio_dcls.service.runs.run_service import RunService
from audio_dcls.service.schemas import ModelResponse
from audio_dcls.service.settings import ServiceSettings
from tests.service.conftest import write_model
from tests.service.runs.conftest import fake_config, wait_for_state, wait_until_measured


def build(service: RunService, settings: ServiceSettings) -> FastAPI:
    def describe(name: str) -> ModelResponse:
        return ModelResponse(name=name, state="unloaded", is_default=False, is_removable=True, source="here")

    app = FastAPI()
    app.state.runs, app.state.authority = service, Authority(settings)
    install_handlers(app)
    app.include_router(routes.build_router(describe))
    return app


@pytest.fixture
def client(service: RunService, state_dir: Path) -> Iterator[TestClient]:
    with TestClient(build(service, ServiceSettings(state_dir=state_dir))) as client:
        yield client


def sent_events(text: str) -> list[tuple[str, Any, str]]:
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]), fields["id"]))
    return found


def test_a_run_over_http(client: TestClient, service: RunService) -> None:
    response = client.post("/v1/runs", json={"config": fake_config(3, 0.02), "seeds": [0, 7], "name": "mine"})
    assert response.status_code == 201
    run = response.json()
    assert (run["name"], run["state"], run["kind"], run["owner"]) == ("mine", "queued", "train", None)
    assert {seed["seed"] for seed in run["seeds"]} == {0, 7}
    path = f"/v1/runs/{run['id']}"
    wait_until_measured(service, run["id"])
    run = client.get(path).json()
    assert run["has_per_class"]
    assert (run["state"], run["progress"], run["position"]) == ("done", 1.0, None)
    assert run["mAP"] == {"mean": 0.5, "std": 0.0, "num_seeds": 2}
    assert [r["id"] for r in client.get("/v1/runs").json()["runs"]] == [run["id"]]
    response = client.get(f"{path}/config")
    assert response.headers["content-type"].startswith("text/yaml") and yaml.safe_load(response.text)["seeds"] == [0, 7]
    series = client.get(f"{path}/metrics").json()["series"]
    assert [(s["seed"], s["case"], s["train"]["step"]) for s in series] == [(0, None, [1, 2, 3]), (7, None, [1, 2, 3])]
    assert client.get(f"{path}/per-class").json()["classes"][0] == {
        "id": "/t/low", "name": "Low", "seeds": {"0": 0.5, "7": 0.5}, "num_clips": 3,
    }  # fmt: skip
    response = client.get(f"{path}/logs", params={"tail": 2})
    assert response.headers["content-type"].startswith("text/plain") and response.text == "step 2\nstep 3\n"
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_events_go_on_where_a_client_lost_them(client: TestClient, service: RunService) -> None:
    run = service.submit(fake_config())
    path = f"/v1/runs/{run.id}/events"
    response = client.get(path)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = sent_events(response.text)
    assert events[-1][:2] == ("end", {"state": "done"})
    lines = [data["line"]["step"] for name, data, _ in events if name == "metrics"]
    assert lines == [1, 2, 3]
    second = next(id_ for name, data, id_ in events if name == "metrics" and data["line"]["step"] == 2)
    rest = sent_events(client.get(path, headers={"Last-Event-ID": second}).text)
    assert [data["line"]["step"] for name, data, _ in rest if name == "metrics"] == [3]
    few = sent_events(client.get(path, params={"replay": 1}).text)
    assert [data["line"]["step"] for name, data, _ in few if name == "metrics"] == [3]


def test_stop_and_resume(client: TestClient, service: RunService) -> None:
    run_id = client.post("/v1/runs", json={"config": fake_config(100, 0.05)}).json()["id"]
    wait_for_state(service, run_id, "running")
    response = client.delete(f"/v1/runs/{run_id}")
    assert (response.status_code, response.json()["code"]) == (409, "run_is_running")
    assert client.post(f"/v1/runs/{run_id}/stop").json()["state"] == "stopping"
    wait_for_state(service, run_id, "stopped")
    assert client.post(f"/v1/runs/{run_id}/resume").json()["state"] in ("queued", "running")
    client.post(f"/v1/runs/{run_id}/stop")
    wait_for_state(service, run_id, "stopped")


def test_a_run_becomes_a_model(client: TestClient, service: RunService, state_dir: Path) -> None:
    run = service.submit(fake_config(seeds=(0, 1)))
    wait_for_state(service, run.id, "done")
    path = f"/v1/runs/{run.id}/model"
    response = client.post(path, json={"name": "dogs"})
    assert (response.status_code, response.json()["code"]) == (409, "no_checkpoint")
    for seed in (0, 1):
        folder = Path(run.folder, f"seed-{seed}/checkpoints/step-00000003")
        folder.mkdir(parents=True)
        write_model(folder / MODEL_FILE, seed)
        (folder / "state.safetensors").touch()
    response = client.post(path, json={"name": "dogs", "seed": 1})
    assert response.status_code == 201 and response.json()["name"] == "dogs"
    expected = Path(run.folder, "seed-1/checkpoints/step-00000003", MODEL_FILE).read_bytes()
    assert (state_dir / "models/dogs.safetensors").read_bytes() == expected
    assert [p.name for p in (state_dir / "models").iterdir()] == ["dogs.safetensors"]
    assert client.get(f"/v1/runs/{run.id}").json()["models"] == ["dogs"]
    for body, status, code in [
        ({"name": "dogs"}, 409, "name_taken"),
        ({"name": "../dogs"}, 422, "invalid"),
        ({"name": ""}, 422, "invalid"),
        ({"name": "a/b"}, 422, "invalid"),
        ({"name": "cats", "seed": 9}, 404, "unknown_seed"),
        ({"name": "cats", "case": "x"}, 404, "unknown_seed"),
        ({"name": "cats", "best": True}, 409, "no_checkpoint"),
        ({}, 422, "invalid"),
    ]:
        response = client.post(path, json=body)
        assert (response.status_code, response.json()["code"]) == (status, code), body
    service.delete(run.id)
    assert (state_dir / "models/dogs.safetensors").is_file()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"config": "nothing.yaml"}, 404),
        ({"config": "../demo.yaml"}, 422),
        ({"config": "demo.yaml", "seeds": [-1]}, 422),
        ({"config": "demo.yaml", "seeds": []}, 422),
        ({"config": "demo.yaml", "colour": "red"}, 422),
        ({"config": "demo.yaml", "overrides": {"data.labels": "/etc/passwd"}}, 422),
        ({"config": 3}, 422),
        ({}, 422),
        ([], 422),
    ],
)
def test_what_is_wrong_is_refused(client: TestClient, service: RunService, body: Any, status: int) -> None:
    response = client.post("/v1/runs", json=body)
    assert response.status_code == status and response.headers["content-type"] == "application/problem+json"
    assert service.list_runs() == []


@pytest.mark.parametrize(
    ("content", "kind"), [("{", "application/json"), ("[]", "application/json"), ("{}", "text/plain")]
)
def test_a_body_that_is_not_a_json_object_is_refused(client: TestClient, content: str, kind: str) -> None:
    response = client.post("/v1/runs", content=content, headers={"Content-Type": kind})
    assert response.status_code == 422
    detail = "the body must be a JSON object, sent with `Content-Type: application/json`"
    assert response.json()["detail"] == detail


def test_errors_name_near_names_and_unknown_parameters(client: TestClient) -> None:
    detail = client.post("/v1/runs", json={"config": "demo7x7.yaml"}).json()["detail"]
    assert detail.endswith("did you mean 'demo_7x7.yaml'?")
    assert "the shipped configs are demo" in client.post("/v1/runs", json={"config": "xyz.yaml"}).json()["detail"]
    response = client.get("/v1/runs?limit=3")
    assert response.status_code == 422 and "no query parameter 'limit'; this route has no parameters" in response.text


@pytest.mark.parametrize(
    "run_id", ["20260101-000000-000000", "..", "%2e%2e", "..%2fqueue.sqlite3", "x" * 3000, "a%00b"]
)
@pytest.mark.parametrize(
    "rest", ["", "/config", "/metrics", "/per-class", "/logs", "/events", "/stop", "/resume", "/model"]
)
def test_unknown_ids_are_404(client: TestClient, run_id: str, rest: str) -> None:
    method = "POST" if rest in ("/stop", "/resume", "/model") else "GET"
    body = {"json": {"name": "dogs"}} if rest == "/model" else {}
    assert client.request(method, f"/v1/runs/{run_id}{rest}", **body).status_code in (404, 405)


def test_training_needs_its_scope(service: RunService, state_dir: Path) -> None:
    settings = ServiceSettings(state_dir=state_dir, keys="required")
    state_dir.mkdir(exist_ok=True)
    keys = KeyFile(settings.keys_path)
    trainer, tagger = keys.add("ada", ["train"]), keys.add("bob", ["tag"])
    with TestClient(build(service, settings)) as client:
        for key, status in ((None, 401), ("wrong", 401), (tagger, 403), (trainer, 201)):
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            response = client.post("/v1/runs", json={"config": fake_config()}, headers=headers)
            assert response.status_code == status
        assert response.json()["owner"] == "ada"
        assert client.get("/v1/runs").status_code == 401
