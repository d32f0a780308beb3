"""Models are loaded when they are needed, and unloaded to make room for others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.service.conftest import wav, write_model


def states(client: TestClient) -> dict[str, str]:
    return {model["name"]: model["state"] for model in client.get("/v1/models").json()["models"]}


def wait_until_ready(client: TestClient) -> None:
    while client.get("/readyz").status_code != 200:
        pass


def test_models_load_unload_and_make_room(start: Callable[..., TestClient], tmp_path: Path, model_path: Path) -> None:
    other = write_model(tmp_path / "other.safetensors", seed=1)
    models = {"small": str(model_path), "other": str(other), "third": str(model_path)}
    with start(tmp_path, models=models, max_loaded_models=2) as client:
        wait_until_ready(client)
        assert states(client) == {"small": "loaded", "other": "unloaded", "third": "unloaded"}
        scores = {
            name: client.post(f"/v1/tag?model={name}", content=wav()).json()["tags"] for name in ("small", "other")
        }
        assert scores["small"] != scores["other"]
        assert states(client) == {"small": "loaded", "other": "loaded", "third": "unloaded"}
        assert client.post("/v1/models/third/load").json()["state"] == "loaded"
        assert states(client) == {"small": "unloaded", "other": "loaded", "third": "loaded"}
        assert client.post("/v1/models/third/unload").json()["state"] == "unloaded"
        assert client.post("/v1/tag?model=small", content=wav()).json()["tags"] == scores["small"]


def test_a_model_says_what_it_is(client: TestClient) -> None:
    model = client.get("/v1/models/small").json()
    assert model["is_default"] is True
    assert model["is_removable"] is False
    assert (model["num_classes"], model["sample_rate_hz"], model["clip_s"]) == (3, 32_000, 1.3)
    assert model["architecture"] == "convnext_atto"
    assert client.delete("/v1/models/small").status_code == 409


def test_models_of_the_folder_are_found_and_can_be_deleted(
    start: Callable[..., TestClient], tmp_path: Path, model_path: Path
) -> None:
    with start(tmp_path, models={}) as client:
        assert client.post("/v1/tag", content=wav()).json()["code"] == "no_model"
        folder = tmp_path / "state" / "models"
        folder.mkdir(parents=True)
        shutil.copy(model_path, folder / "mine.safetensors")
        assert client.post("/v1/tag", content=wav()).json()["model"] == "mine"
        assert client.get("/v1/models/mine").json()["is_removable"] is True
        assert client.delete("/v1/models/mine").status_code == 204
        assert not (folder / "mine.safetensors").exists()
        assert states(client) == {}


def test_a_model_that_cannot_be_loaded_says_why(start: Callable[..., TestClient], tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a model" * 100)
    with start(tmp_path, models={"broken": str(broken), "gone": str(tmp_path / "gone.safetensors")}) as client:
        wait_until_ready(client)
        for name in ("broken", "gone"):
            answer = client.post(f"/v1/models/{name}/load")
            assert (answer.status_code, answer.json()["code"]) == (409, "model_unusable")
            assert name in answer.json()["detail"]
            assert client.get(f"/v1/models/{name}").json()["error"] == answer.json()["detail"]
        assert states(client) == {"broken": "failed", "gone": "failed"}
        assert client.post("/v1/tag", content=wav()).status_code == 409


@pytest.mark.parametrize("name", ["nothing", "x" * 64])
def test_unknown_models_are_404(client: TestClient, name: str) -> None:
    assert client.get(f"/v1/models/{name}").status_code == 404
    assert client.post(f"/v1/models/{name}/load").status_code == 404
