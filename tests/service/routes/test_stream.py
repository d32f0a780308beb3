"""Live sound over a WebSocket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from audio_dcls.inference import Tagger
from audio_dcls.service.keys import KeyFile

LIVE_RATE_HZ = 24_000


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * LIVE_RATE_HZ)).astype(np.float32)


def pcm(samples: np.ndarray) -> bytes:
    return (samples * 32767).round().astype("<i2").tobytes()


def listen(client: TestClient, query: str, content: bytes, step: int = 7001) -> list[dict[str, Any]]:
    """All messages of a stream whose samples are sent in pieces of odd length."""
    messages = []
    with client.websocket_connect(f"ws://localhost/v1/tag/stream?{query}") as socket:
        for start in range(0, len(content), step):
            socket.send_bytes(content[start : start + step])
        socket.send_text("end")
        while True:
            messages.append(socket.receive_json())
            if messages[-1]["type"] in ("result", "error"):
                return messages


@pytest.mark.parametrize("channels", [1, 2])
def test_scores_come_every_hop_and_are_the_taggers(client: TestClient, model_path: Path, channels: int) -> None:
    sound = noise(4.0)
    frames = np.repeat(sound[:, None], channels, axis=1)
    query = f"sample_rate_hz={LIVE_RATE_HZ}&channels={channels}&window_s=1&hop_s=0.5&top_k=3&threshold=0.1"
    *scores, result = listen(client, query, pcm(frames))
    # Rounded to 16 bits, as it was sent.
    heard = np.frombuffer(pcm(sound), "<i2").astype(np.float32) / 32768
    wanted = Tagger.load(model_path).tag(
        heard, sample_rate_hz=LIVE_RATE_HZ, window_s=1.0, hop_s=0.5, top_k=3, threshold=0.1, timeline=True
    )
    assert [message["start_s"] for message in scores] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])
    for message, row in zip(scores, wanted.windows.scores, strict=False):
        assert [t["score"] for t in message["tags"]] == pytest.approx(sorted(row, reverse=True), abs=1e-5)
    assert result["type"] == "result"
    assert result["model"] == "small"
    assert [t["score"] for t in result["tags"]] == pytest.approx([t.score for t in wanted.tags], abs=1e-5)
    assert result["duration_s"] == 4.0


def test_floats_are_taken_too(client: TestClient) -> None:
    sound = noise(2.0)
    query = f"sample_rate_hz={LIVE_RATE_HZ}&window_s=1&hop_s=1"
    by_integers = listen(client, query, pcm(sound))[-1]
    by_floats = listen(client, query + "&format=f32le", sound.astype("<f4").tobytes())[-1]
    first, second = ([t["score"] for t in found["tags"]] for found in (by_integers, by_floats))
    assert first == pytest.approx(second, abs=1e-3)


@pytest.mark.parametrize(
    ("query", "content", "said"),
    [
        ("sample_rate_hz=5", b"", "`sample_rate_hz` (=5)"),
        ("channels=99", b"", "`channels` (=99)"),
        ("hop_s=0.01&window_s=1", b"", "`hop_s` (=0.01)"),
        ("sample_rate=16000", b"", "did you mean 'sample_rate_hz'"),
        ("model=large", b"", "'large'"),
        ("format=f32le", np.full(9, np.nan, "<f4").tobytes(), "not finite"),
        ("", b"", "before the first sample"),
    ],
)
def test_what_is_wrong_is_said(client: TestClient, query: str, content: bytes, said: str) -> None:
    assert said in listen(client, query, content)[-1]["detail"]


def test_text_must_be_the_end(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/v1/tag/stream") as socket:
        socket.send_text("hello")
        assert "'hello'" in socket.receive_json()["detail"]
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_who_leaves_leaves_no_stream_open(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/v1/tag/stream") as socket:
        socket.send_bytes(pcm(noise(1.0)))
    listen(client, "", pcm(noise(0.5)))
    assert "audio_dcls_streams 0.0" in client.get("/metrics").text


def test_an_idle_stream_is_closed(start: Callable[..., TestClient], tmp_path: Path) -> None:
    with (
        start(tmp_path, stream_idle_s=0.2) as client,
        client.websocket_connect("ws://localhost/v1/tag/stream") as socket,
    ):
        assert socket.receive_json()["code"] == "idle"


def test_no_more_streams_than_allowed(start: Callable[..., TestClient], tmp_path: Path) -> None:
    with start(tmp_path, max_streams=1) as client, client.websocket_connect("ws://localhost/v1/tag/stream") as first:
        first.send_bytes(pcm(noise(0.1)))
        with client.websocket_connect("ws://localhost/v1/tag/stream") as second:
            assert second.receive_json()["code"] == "busy"


def test_a_key_comes_by_header_or_by_protocol(start: Callable[..., TestClient], tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "state" / "keys.json")
    tag, train = file.add("tagger", ["tag"]), file.add("trainer", ["train"])
    address = "ws://localhost/v1/tag/stream"
    with start(tmp_path, keys="required") as client:
        for given in (
            {"headers": {"Authorization": f"Bearer {tag}"}},
            {"subprotocols": ["audio-dcls", f"key.{tag}"]},
        ):
            with client.websocket_connect(address, **given) as socket:
                assert socket.accepted_subprotocol == ("audio-dcls" if "subprotocols" in given else None)
                socket.send_text("end")
                assert socket.receive_json()["code"] == "empty"
        for given, status in (({}, 401), ({"subprotocols": ["audio-dcls", f"key.{train}"]}, 403)):
            with client.websocket_connect(address, **given) as socket:
                assert socket.receive_json()["status"] == status
