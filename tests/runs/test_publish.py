"""Checkpoints on a hub of the tests' own, through the real client; the model card as the hub's library reads it."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from audio_dcls.errors import ArgumentError, CheckpointError, PretrainedError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from audio_dcls.models.checkpoint.tensor_file import load_info
from audio_dcls.models.weights.hub import fetch_checkpoint
from audio_dcls.models.weights.published import is_published_name
from audio_dcls.runs.model_card import build_card
from audio_dcls.runs.publish import push_checkpoint

METRICS = {"mAP": 0.4321, "AUC": 0.9, "num_clips": 12, "clip_id_hash": "abc123"}
INFO = {
    "seed": 3,
    "step": 70,
    "licence": "MIT",
    "metrics": METRICS,
    "config": {"loop": {"epochs": 9}, "data": {"manifests": ["/secret/place/manifest.csv"]}},
    "versions": {"torch": "2.12"},
}


class FakeHub:
    """As much of the hub's interface as a commit and a download take."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.commits: list[dict[str, Any]] = []
        self.created: list[dict[str, Any]] = []
        self.refused = False
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hub.post(self, self.path, body)

            def do_HEAD(self) -> None:
                hub.get(self, with_body=False)

            def do_GET(self) -> None:
                hub.get(self, with_body=True)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def reply(self, handler: http.server.BaseHTTPRequestHandler, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def post(self, handler: http.server.BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        if self.refused:
            self.reply(handler, {"error": "You may not write here"}, 403)
        elif path == "/api/repos/create":
            self.created.append(json.loads(body))
            self.reply(handler, {"url": f"{self.url}/someone/tagger", "name": "someone/tagger"})
        elif path == "/api/validate-yaml":
            self.reply(handler, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self.reply(handler, {"files": files})
        else:
            lines = [json.loads(line) for line in body.splitlines()]
            self.commits.append(lines[0]["value"])
            for line in lines[1:]:
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.reply(
                handler, {"commitUrl": f"{self.url}/someone/tagger/commit/1", "commitOid": "1" * 40, "success": True}
            )

    def get(self, handler: http.server.BaseHTTPRequestHandler, *, with_body: bool) -> None:
        repository, _, name = handler.path.partition("/resolve/main/")
        content = self.files.get(name)
        if content is None:
            is_there = repository == "/someone/tagger"
            handler.send_response(404)
            handler.send_header("X-Error-Code", "EntryNotFound" if is_there else "RepoNotFound")
            handler.end_headers()
            return
        handler.send_response(200)
        handler.send_header("ETag", '"1"')
        handler.send_header("X-Repo-Commit", "1" * 40)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if with_body:
            handler.wfile.write(content)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    overrides = {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}
    config = ModelConfig(name="convnext_atto", overrides=overrides, dcls=DclsConfig(kernel_size=(9, 9), kernel_count=4))
    frontend = FrontendConfig(clip_s=1.5)
    labels = LabelSet(("a", "b"), ("Apple", "Bell"))
    tagger = build_tagger(config, frontend, 2)
    save_checkpoint(path, tagger, model_config=config, frontend_config=frontend, labels=labels, info=INFO)
    return path


def test_what_is_pushed_is_fetched_again(checkpoint: Path, hub: FakeHub) -> None:
    address = push_checkpoint(checkpoint, "someone/tagger", private=True, token="t", endpoint=hub.url)
    assert address == f"{hub.url}/someone/tagger/commit/1"
    assert hub.created[0]["name"] == "tagger" and hub.created[0]["organization"] == "someone"
    assert sorted(hub.files) == ["README.md", "config.json", "model.safetensors"]
    assert json.loads(hub.files["config.json"])["labels"]["names"] == ["Apple", "Bell"]
    path = fetch_checkpoint("hf:someone/tagger", endpoint=hub.url)
    assert path.read_bytes() == checkpoint.read_bytes()
    assert load_checkpoint(path).labels.names == ("Apple", "Bell")
    assert is_published_name("hf:someone/tagger")


def test_a_card_that_is_there_stays(checkpoint: Path, hub: FakeHub) -> None:
    hub.files["README.md"] = b"written by hand"
    push_checkpoint(checkpoint, "someone/tagger", token="t", endpoint=hub.url)
    assert hub.files["README.md"] == b"written by hand"
    push_checkpoint(checkpoint, "someone/tagger", token="t", endpoint=hub.url, replace_card=True)
    assert b"# tagger" in hub.files["README.md"]


def test_what_cannot_be_pushed_is_refused_before_anything_is_sent(
    checkpoint: Path, hub: FakeHub, tmp_path: Path
) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="not as it was written"):
        push_checkpoint(tmp_path / "flipped.safetensors", "someone/tagger", token="t", endpoint=hub.url)
    with pytest.raises(ArgumentError, match="must be 'owner/name'"):
        push_checkpoint(checkpoint, "tagger", token="t", endpoint=hub.url)
    assert not hub.created


def test_a_hub_that_refuses_or_is_not_there_is_no_traceback(
    checkpoint: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # between the client's attempts
    hub.refused = True
    with pytest.raises(ArgumentError, match=r"You may not write here.*hf auth login"):
        push_checkpoint(checkpoint, "someone/tagger", token="t", endpoint=hub.url)
    with pytest.raises(ArgumentError, match="check the name, the network"):
        push_checkpoint(checkpoint, "someone/tagger", token="t", endpoint="http://127.0.0.1:9")
    with pytest.raises(PretrainedError, match="not on this machine and the hub cannot be reached"):
        fetch_checkpoint("hf:someone/tagger", endpoint="http://127.0.0.1:9")
    with pytest.raises(PretrainedError, match="not on the hub, is private, or holds no"):
        fetch_checkpoint("hf:someone/tagger", endpoint=hub.url)
    with pytest.raises(PretrainedError, match="not on the hub, is private, or holds no"):
        fetch_checkpoint("hf:nobody/nothing", endpoint=hub.url)
    with pytest.raises(PretrainedError, match="must be hf:owner/name"):
        fetch_checkpoint("hf:nothing")


def test_the_card_is_one_the_hub_reads(checkpoint: Path) -> None:
    info = load_info(checkpoint)
    text = build_card(info, repo_id="someone/tagger")
    data = ModelCard(text).data
    assert data.license == "mit" and data.pipeline_tag == "audio-classification" and "dcls" in data.tags  # type: ignore[operator]
    assert data.eval_results is not None and data.eval_results[0].metric_value == 0.4321
    for part in (
        "hf:someone/tagger",
        "0.4321",
        "12 clips",
        "4 elements",
        "9x9",
        "Apple, Bell",
        "1.5 s",
        "| seed | 3 |",
    ):
        assert part in text
    assert "/secret" not in text and "None" not in text.replace("No licence is named", "")


def test_a_card_says_what_is_not_known(checkpoint: Path) -> None:
    info = load_info(checkpoint) | {"metrics": None, "licence": None}
    text = build_card(info)
    assert "# convnext_atto-dcls" in text and "The file contains no scores" in text and "No licence is named" in text
    data = ModelCard(build_card(info, licence="Licence of the house")).data
    assert data.license == "other" and data.to_dict()["license_name"] == "Licence of the house"
    published = {"trained_on": "AudioSet-2M", "mAP_mean": 0.4552, "mAP_std": 0.0005, "num_seeds": 3}
    assert "45.52 ± 0.05 %" in build_card(info | {"published": published})
