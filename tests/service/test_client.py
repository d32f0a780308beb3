"""The client against a service behind a socket."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from audio_dcls.errors import ServiceError
from audio_dcls.service.client import Client
from audio_dcls.service.keys import KeyFile
from audio_dcls.service.schemas import TagFailed, TagResponse
from audio_dcls.service.settings import ServiceSettings
from tests.service.conftest import listening, wav


@pytest.fixture(scope="module")
def service(
    settings_of: Callable[..., ServiceSettings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The address of a service, and a key with all scopes."""
    folder = tmp_path_factory.mktemp("service")
    key = KeyFile(folder / "state" / "keys.json").add("tests", ["tag", "train", "admin"])
    with listening(settings_of(folder, keys="required")) as address:
        yield address, key


@pytest.fixture
def caller(service: tuple[str, str]) -> Iterator[Client]:
    with Client(service[0], key=service[1]) as client:
        yield client


def test_sounds_are_tagged(caller: Client, tmp_path: Path) -> None:
    path = tmp_path / "dog ü.wav"
    path.write_bytes(wav(2.0))
    by_file = caller.tag(path, top_k=2, timeline=True, classes=["Dog", "Rain"])
    assert by_file.path == "dog ü.wav"
    assert [tag.name for tag in by_file.tags] in (["Dog", "Rain"], ["Rain", "Dog"])
    assert by_file.events is not None
    by_bytes = caller.tag(path.read_bytes(), name="x.wav", model="small")
    assert (by_bytes.path, by_bytes.model, by_bytes.events) == ("x.wav", "small", None)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"x")
    first, second = caller.tag_batch([path, broken])
    assert isinstance(first, TagResponse)
    assert isinstance(second, TagFailed)
    assert second.reason == "unreadable"


def test_models_and_info(caller: Client) -> None:
    assert caller.info().default_model == "small"
    assert "demo.yaml" in [recipe.name for recipe in caller.info().recipes]
    assert [model.name for model in caller.models()] == ["small"]
    assert caller.unload_model("small").state == "unloaded"
    assert caller.load_model("small").state == "loaded"


def test_refusals_are_errors_with_words_and_codes(service: tuple[str, str], caller: Client) -> None:
    with pytest.raises(ServiceError, match="`model` \\(='none'\\)") as refused:
        caller.tag(wav(), model="none")
    assert (refused.value.status, refused.value.code) == (404, "unknown_model")
    with Client(service[0]) as stranger, pytest.raises(ServiceError, match="API key") as unknown:
        stranger.info()
    assert unknown.value.status == 401
    with pytest.raises(ServiceError) as missing:
        caller.run("20200101-000000-abcdef")
    assert missing.value.status == 404
    with pytest.raises(ServiceError):
        list(caller.events("20200101-000000-abcdef"))


def test_a_service_that_is_not_there_is_said_to_be() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceError, match="is it running") as refused:
        client.info()
    assert refused.value.code == "unreachable"


def test_a_request_to_a_busy_service_is_sent_again() -> None:
    answers = [
        httpx.Response(503, headers={"Retry-After": "0.01"}, json={"detail": "busy", "code": "busy"}),
        httpx.Response(200, json={"models": []}),
    ]
    with Client("http://x", transport=httpx.MockTransport(lambda _: answers.pop(0))) as client:
        assert client.models() == []
    stubborn = httpx.MockTransport(lambda _: httpx.Response(503, headers={"Retry-After": "0"}, json={"detail": "no"}))
    with Client("http://x", transport=stubborn, retries=2) as client, pytest.raises(ServiceError, match="no"):
        client.models()


def test_the_client_needs_none_of_the_services_packages() -> None:
    code = (
        "import sys, audio_dcls.service.client\n"
        "heavy = {'torch', 'timm', 'fastapi', 'uvicorn', 'pebble', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
