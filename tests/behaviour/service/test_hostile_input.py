"""Uploads that are not sound are refused within seconds, with a reason, and the service keeps working."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from starlette.testclient import TestClient

from audio_dcls.service.tagging import decode_worker, decoding
from tests.behaviour.service import bad_decoders
from tests.behaviour.service.bad_sounds import bad_sounds
from tests.service.conftest import wav

LIMITS = {"max_duration_s": 60.0, "max_channels": 8, "max_upload_mb": 40.0}
MOST_S = 5.0
REPOSITORY = str(Path(__file__).parents[3])
BAD = bad_sounds()


@pytest.fixture(scope="module")
def guarded(start: Callable[..., TestClient], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with start(tmp_path_factory.mktemp("guarded"), **LIMITS) as client:
        for _ in range(4):  # the time to load decoders with their first files is not counted
            assert client.post("/v1/tag", content=BAD["text"]).status_code == 422
        assert client.post("/v1/tag", content=wav()).status_code == 200
        yield client


def test_there_are_forty_of_them() -> None:
    assert len(BAD) >= 40


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_sound_is_refused(guarded: TestClient, kind: str) -> None:
    began = time.monotonic()
    answer = guarded.post("/v1/tag", files={"file": (f"../../{kind}\x00.wav", BAD[kind])})
    assert time.monotonic() - began < MOST_S
    assert 400 <= answer.status_code < 500, answer.text
    problem = answer.json()
    assert problem["detail"]
    assert "spool" not in problem["detail"]
    assert str(Path.cwd()) not in problem["detail"]
    assert guarded.post("/v1/tag", content=wav()).status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("empty", 422, "empty"),
        ("text", 422, "unreadable"),
        ("nan", 422, "not_finite"),
        ("24 hours of silence", 413, "too_long"),
        ("24 hours that are not there", 413, "too_long"),
        ("1000 channels", 413, "too_large"),
        ("wav cut", 422, "unreadable"),
    ],
)
def test_each_is_refused_for_its_own_reason(guarded: TestClient, kind: str, status: int, code: str) -> None:
    answer = guarded.post("/v1/tag", content=BAD[kind])
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_body_may_not_declare_too_much(guarded: TestClient) -> None:
    answer = guarded.post("/v1/tag", content=b"RIFF", headers={"Content-Length": "2000000000"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "40 MB" in answer.json()["detail"]


def test_a_body_that_declares_nothing_is_counted(start: Callable[..., TestClient], tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)

    with start(tmp_path, max_upload_mb=1.0) as client:
        assert client.post("/v1/tag", content=chunks()).status_code == 413
        assert client.post("/v1/tag", content=wav()).status_code == 200


def test_decoding_that_takes_too_long_is_ended(
    start: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY)  # workers have this process's path
    with start(tmp_path, decode_wall_s=4.0, decode_workers=1) as client:
        monkeypatch.setattr(decoding, "decode_upload", bad_decoders.wait)
        answer = client.post("/v1/tag", content=wav())
        assert answer.status_code == 422
        assert "took longer than 4 s" in answer.json()["detail"]
        monkeypatch.setattr(decoding, "decode_upload", decode_worker.decode_upload)
        assert client.post("/v1/tag", content=wav()).status_code == 200


def test_a_worker_that_computes_too_long_is_ended_and_replaced(
    start: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY)  # workers have this process's path
    with start(tmp_path, decode_cpu_s=0.5, decode_workers=1) as client:
        assert client.post("/v1/tag", content=wav()).status_code == 200
        monkeypatch.setattr(decoding, "decode_upload", bad_decoders.spin)
        answer = client.post("/v1/tag", content=wav())
        assert answer.status_code == 422
        assert "ended the process that decoded it" in answer.json()["detail"]
        monkeypatch.setattr(decoding, "decode_upload", decode_worker.decode_upload)
        assert client.post("/v1/tag", content=wav()).status_code == 200


def test_a_worker_may_not_take_all_memory(
    start: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY)  # workers have this process's path
    with start(tmp_path, decode_memory_mb=300.0, decode_workers=1) as client:
        monkeypatch.setattr(decoding, "decode_upload", bad_decoders.hoard)
        answer = client.post("/v1/tag", content=wav())
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        monkeypatch.setattr(decoding, "decode_upload", decode_worker.decode_upload)
        assert client.post("/v1/tag", content=wav()).status_code == 200


def test_workers_that_die_are_replaced(
    start: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY)
    with start(tmp_path, decode_workers=2) as client:
        assert client.post("/v1/tag", content=wav()).status_code == 200
        for worker in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie counts as one
                if "spawn_main" in " ".join(worker.cmdline()):
                    worker.kill()
        assert client.post("/v1/tag", content=wav()).status_code == 200
        monkeypatch.setattr(decoding, "decode_upload", bad_decoders.die)
        for _ in range(4):
            assert client.post("/v1/tag", content=wav()).status_code == 422
        monkeypatch.setattr(decoding, "decode_upload", decode_worker.decode_upload)
        assert client.post("/v1/tag", content=wav()).status_code == 200
