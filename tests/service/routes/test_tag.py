"""Tagging over HTTP gives the results of the Tagger."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from audio_dcls.inference import Tagger
from tests.service.conftest import RATE_HZ, sound_bytes, wav


@pytest.fixture(scope="module")
def tagger(model_path: Path) -> Tagger:
    return Tagger.load(model_path)


def tagged(tagger: Tagger, content: bytes, folder: Path, name: str = "dog.wav", **options: Any) -> dict[str, Any]:
    path = folder / name
    path.write_bytes(content)
    return {**tagger.tag(path, **options).to_json_dict(), "path": name}


def close(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Scores are equal within 1e-5, because other windows in a batch change the order of sums."""
    assert [t["name"] for t in found["tags"]] == [t["name"] for t in wanted["tags"]]
    np.testing.assert_allclose([t["score"] for t in found["tags"]], [t["score"] for t in wanted["tags"]], atol=1e-5)
    for key in ("path", "duration_s", "num_windows"):
        assert found[key] == wanted[key]


@pytest.mark.parametrize("seconds", [0.05, 1.0, 1.3, 4.7])
@pytest.mark.parametrize("query", ["", "?pooling=max&short=repeat", "?window_s=0.5&hop_s=0.25&top_k=2"])
def test_a_form_and_a_body_give_what_the_tagger_gives(
    client: TestClient, tagger: Tagger, tmp_path: Path, seconds: float, query: str
) -> None:
    content = wav(seconds, rate_hz=44_100, channels=2)
    options = {
        "": {},
        "?pooling=max&short=repeat": {"pooling": "max", "short": "repeat"},
        "?window_s=0.5&hop_s=0.25&top_k=2": {"window_s": 0.5, "hop_s": 0.25, "top_k": 2},
    }[query]
    wanted = tagged(tagger, content, tmp_path, **options)
    form = client.post(f"/v1/tag{query}", files={"file": ("dog.wav", content)})
    assert form.status_code == 200, form.text
    close(form.json(), wanted)
    assert form.json()["model"] == "small"
    body = client.post(f"/v1/tag?name=dog.wav&{query.removeprefix('?')}", content=content)
    close(body.json(), wanted)


def test_a_timeline_leaves_the_tags_as_they_are(client: TestClient, tagger: Tagger, tmp_path: Path) -> None:
    content = wav(6.0)
    found = client.post("/v1/tag?timeline=true&threshold=0.2", content=content).json()
    tags = tagged(tagger, content, tmp_path, threshold=0.2)["tags"]
    np.testing.assert_allclose([t["score"] for t in found["tags"]], [t["score"] for t in tags], atol=1e-5)
    events = tagged(tagger, content, tmp_path, threshold=0.2, timeline=True)["events"]
    assert events
    assert [e["name"] for e in found["events"]] == [e["name"] for e in events]
    np.testing.assert_allclose([e["onset_s"] for e in found["events"]], [e["onset_s"] for e in events])


def test_a_picture_shows_where_the_sound_is(client: TestClient) -> None:
    samples = np.zeros((3 * RATE_HZ, 1))
    times = np.arange(RATE_HZ) / RATE_HZ
    samples[RATE_HZ : 2 * RATE_HZ, 0] = 0.5 * np.sin(2 * np.pi * 1000 * times)
    picture = client.post("/v1/tag?picture=true", content=sound_bytes(samples, RATE_HZ)).json()["picture"]
    envelope = np.array(picture["envelope"])
    assert len(envelope) <= 1000
    third = len(envelope) // 3
    assert abs(envelope[third // 2]).max() < 0.01
    np.testing.assert_allclose(envelope[third + third // 2], [-0.5, 0.5], atol=0.02)
    spectrogram = picture["spectrogram"]
    loudness = np.frombuffer(base64.b64decode(spectrogram["data"]), np.uint8).reshape(spectrogram["height"], -1)
    assert loudness.shape[1] == spectrogram["width"]
    middle = loudness[:, loudness.shape[1] // 2]
    # HTK's mel of 1 kHz among 80 bands of equal width in mel, 50 Hz to 16 kHz.
    mel = 2595 * np.log10(1 + np.array([50, 1000, 16_000]) / 700)
    band = (mel[1] - mel[0]) / (mel[2] - mel[0]) * 81 - 1
    assert abs(int(middle.argmax()) - band) < 1.5
    assert loudness[:, loudness.shape[1] // 6].max() == 0


def test_a_batch_has_outcomes_in_order(client: TestClient, tagger: Tagger, tmp_path: Path) -> None:
    contents = [wav(seconds, seed=seed) for seed, seconds in enumerate((0.4, 3.0, 1.0))]
    files = [("files", (f"{i}.wav", content)) for i, content in enumerate(contents)]
    files.insert(1, ("files", ("broken.flac", b"no sound at all")))
    found = client.post("/v1/tag/batch", files=files).json()["results"]
    assert [outcome["path"] for outcome in found] == ["0.wav", "broken.flac", "1.wav", "2.wav"]
    assert found[1]["reason"] == "unreadable"
    assert "broken.flac" in found[1]["error"]
    for index, outcome in zip(range(3), [found[0], found[2], found[3]], strict=True):
        close(outcome, tagged(tagger, contents[index], tmp_path, f"{index}.wav"))


def test_too_many_files_are_refused(start: Callable[..., TestClient], tmp_path: Path) -> None:
    with start(tmp_path, max_batch_files=2) as client:
        files = [("files", (f"{i}.wav", wav(0.1))) for i in range(3)]
        answer = client.post("/v1/tag/batch", files=files)
        assert answer.status_code == 422
        assert "1 to 2 files" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("top_k=0", "top_k"),
        ("threshold=2", "`threshold` (=2.0) must be between 0 and 1"),
        ("threshold=fitted", "fit them with"),
        ("window_s=99", "`window_s` (=99) must be at least 0.01 s and at most 1.3 s"),
        ("class=Elephant", "Elephant"),
        ("pooling=median", "pooling"),
        ("timeout_s=0", "timeout_s"),
        ("topk=3", "there is no query parameter 'topk'; did you mean 'top_k'?"),
    ],
)
def test_wrong_options_are_named(client: TestClient, query: str, said: str) -> None:
    answer = client.post(f"/v1/tag?{query}", content=wav())
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


def test_an_unknown_model_is_named_with_those_there_are(client: TestClient) -> None:
    answer = client.post("/v1/tag?model=large", content=wav())
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")
    assert "'large'" in answer.json()["detail"]
    assert "small" in answer.json()["detail"]


def test_classes_choose(client: TestClient) -> None:
    found = client.post("/v1/tag?class=Dog&class=/t/c", content=wav()).json()
    assert {tag["name"] for tag in found["tags"]} == {"Dog", "Siren"}


def test_a_request_keeps_its_id(client: TestClient) -> None:
    answer = client.post("/v1/tag", content=b"", headers={"X-Request-ID": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.json()["request_id"] == "mine-1"
    other = client.get("/healthz", headers={"X-Request-ID": "a b\tc" * 40})
    assert len(other.headers["x-request-id"]) == 32


def test_too_many_requests_get_a_time_to_retry(start: Callable[..., TestClient], tmp_path: Path) -> None:
    with start(tmp_path, max_requests=1) as client:
        service = client.app.state.service
        service.tagger.num_requests = 1
        answer = client.post("/v1/tag", content=wav())
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        service.tagger.num_requests = 0
        assert client.post("/v1/tag", content=wav()).status_code == 200


def test_spooled_files_are_gone(client: TestClient) -> None:
    spool = client.app.state.service.decoder.spool
    client.post("/v1/tag", content=wav())
    client.post("/v1/tag", content=b"nothing")
    client.post("/v1/tag/batch", files=[("files", ("a.wav", wav()))])
    assert list(spool.iterdir()) == []


def test_docs_come_from_here(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "/docs-static/swagger-ui-bundle.js" in page
    assert "https://" not in page
    assert client.get("/docs-static/swagger-ui-bundle.js").status_code == 200
    described = client.get("/openapi.json").json()
    assert {"/v1/tag", "/v1/tag/batch", "/v1/models"} <= described["paths"].keys()
    json.dumps(described)
