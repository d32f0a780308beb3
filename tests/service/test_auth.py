"""Access needs the right key and scope, and is refused to pages of other sites and to paths outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from audio_dcls.service.keys import KeyFile
from tests.service.conftest import wav


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("locked")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    file = KeyFile(folder / "state" / "keys.json")
    return {scope: file.add(f"{scope}'s own", [scope]) for scope in ("tag", "train", "admin")}


@pytest.fixture(scope="module")
def locked(start: Callable[..., TestClient], folder: Path, keys: dict[str, str]) -> Iterator[TestClient]:
    assert keys
    with start(folder, host="0.0.0.0") as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_no_key_and_a_wrong_one_are_401(locked: TestClient, keys: dict[str, str]) -> None:
    for headers in ({}, bearer("adcls_nobody_x"), bearer(keys["tag"] + "x"), {"Authorization": "Basic YTpi"}):
        answer = locked.post("/v1/tag", content=wav(), headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "audio-dcls keys add" in answer.json()["detail"]
    assert locked.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/tag", "tag"),
        ("POST", "/v1/models/small/load", "admin"),
        ("POST", "/v1/models/small/unload", "admin"),
        ("GET", "/metrics", "admin"),
    ],
)
def test_a_scope_lets_do_what_it_says_alone(
    locked: TestClient, keys: dict[str, str], method: str, path: str, scope: str
) -> None:
    for held, key in keys.items():
        answer = locked.request(method, path, content=wav() if path == "/v1/tag" else None, headers=bearer(key))
        assert answer.status_code == (200 if held == scope else 403), answer.text
        if held != scope:
            assert f"needs {scope}" in answer.json()["detail"]


def test_a_revoked_key_is_refused_at_once(locked: TestClient, folder: Path) -> None:
    file = KeyFile(folder / "state" / "keys.json")
    key = file.add("short-lived", ["tag"])
    assert locked.get("/v1/info", headers=bearer(key)).json()["scopes"] == ["tag"]
    file.revoke(key.split("_")[1])
    assert locked.get("/v1/info", headers=bearer(key)).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/../../etc/passwd",
        "/static/../app.py",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/settings.py",
        "/docs-static/..%2f__init__.py",
        "/v1/models/.hidden",
    ],
)
def test_a_path_that_leads_elsewhere_is_not_found(locked: TestClient, keys: dict[str, str], path: str) -> None:
    answer = locked.get(path, headers=bearer(keys["admin"]))
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text
    assert "import" not in answer.text


def test_pages_of_other_sites_are_turned_away(client: TestClient) -> None:
    foreign = client.post("/v1/tag", content=wav(), headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_site")
    rebound = client.get("/v1/models", headers={"Host": "evil.example:8000"})
    assert (rebound.status_code, rebound.json()["code"]) == (403, "foreign_site")
    assert client.post("/v1/tag", content=wav(), headers={"Origin": "http://localhost"}).status_code == 200
    assert "access-control-allow-origin" not in client.options("/v1/tag", headers={"Origin": "http://a.b"}).headers


def test_named_origins_are_let_in(start: Callable[..., TestClient], tmp_path: Path) -> None:
    with start(tmp_path, cors_origins=("https://lab.example",)) as client:
        answer = client.post("/v1/tag", content=wav(), headers={"Origin": "https://lab.example"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://lab.example"
        assert client.post("/v1/tag", content=wav(), headers={"Origin": "https://x.example"}).status_code == 403
