"""Published weights from a server of the tests' own, into a cache of the tests' own."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from authors_models import authors_model, authors_state
from typer.testing import CliRunner

from audio_dcls.errors import CheckpointError, PretrainedError
from audio_dcls.files import CACHE_VARIABLE
from audio_dcls.inference import Tagger
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.find_model import find_model
from audio_dcls.models.weights import zenodo
from audio_dcls.models.weights.published import DEFAULT_NAME, PUBLISHED, find_published
from audio_dcls.models.weights.resolve import resolve, resolve_tagger
from audio_dcls_cli.commands.models import app
from audio_dcls_cli.inputs import fetch_weights

if TYPE_CHECKING:
    from conftest import FileServer

RECORD, FILE = 8370979, "convnext_dcls_audio_tiny.pth"
NOWHERE = "http://127.0.0.1:9"
"""No server listens there."""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture(scope="module")
def content() -> bytes:
    """The ConvNeXt-T file, narrow."""
    model = authors_model(
        "convnext_tiny", torch.Generator().manual_seed(0), swapped=True, depths=(1, 1, 1, 1), dims=(8, 16, 24, 32)
    )
    stream = io.BytesIO()
    torch.save({"model": authors_state(model, "convnext_tiny")}, stream)
    return stream.getvalue()


def test_the_five_files_are_named() -> None:
    by_record = {(weights.record, weights.file) for weights in PUBLISHED}
    assert by_record == {
        (8370979, "convformer_audio_s18.pth"),
        (8370979, "convformer_dcls_audio_s18.pth"),
        (8370979, "fastvit_dcls_audio_sa24.pth"),
        (8370979, "convnext_dcls_audio_tiny.pth"),
        (8029747, "convnext_dcls_gauss_tiny_1k_224_ema.pth"),
    }
    best = max((weights for weights in PUBLISHED if weights.is_tagger), key=lambda w: w.mean_average_precision or 0)
    assert best.name == DEFAULT_NAME
    assert json.loads(json.dumps([weights.to_json_dict() for weights in PUBLISHED]))[0]["num_bytes"] is None


def test_the_guide_says_what_the_list_says() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "published_weights.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in guide.splitlines() if line[:3] == "| `"]
    assert rows == [
        [
            f"`{w.name}`",
            w.trained_on,
            f"{100 * w.mean_average_precision:.2f} ± {100 * (w.std or 0):.2f}" if w.mean_average_precision else "–",
            f"{4e-6 * w.num_parameters:.0f} MB",
            w.file,
            f"[{w.record}]({w.page})",
        ]
        for w in PUBLISHED
    ]


def test_weights_are_fetched_once_and_then_need_no_network(
    file_server: FileServer, cache: Path, content: bytes
) -> None:
    file_server.add_record(RECORD, FILE, content)
    file_server.breaks = [len(content) // 3]
    seen: list[tuple[int, int | None]] = []
    path = resolve(DEFAULT_NAME, progress=lambda *now: seen.append(now), site=file_server.url)
    assert seen[-1] == (len(content), len(content))
    loaded = load_checkpoint(path)
    assert loaded.info["licence"] == "MIT" and loaded.info["published"]["mAP_mean"] == 0.4552
    assert loaded.info["source"] == "https://zenodo.org/records/8370979" and len(loaded.labels) == 527
    assert resolve(DEFAULT_NAME, site=NOWHERE) == path == cache / DEFAULT_NAME / "model.safetensors"
    weights = find_published(DEFAULT_NAME)
    assert weights is not None and weights.is_cached and weights.to_json_dict()["num_bytes"] == path.stat().st_size


def test_offline_and_uncached_says_exactly_what_to_do(cache: Path, content: bytes) -> None:
    with pytest.raises(PretrainedError, match="not on this machine and cannot be fetched") as error:
        resolve(DEFAULT_NAME, site=NOWHERE)
    message = str(error.value)
    assert f"https://zenodo.org/records/{RECORD}/files/{FILE}" in message
    place = Path(message.rpartition("copy the file to '")[2].rstrip("'"))
    assert place == cache / str(RECORD) / FILE
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    assert len(load_checkpoint(resolve(DEFAULT_NAME, site=NOWHERE)).labels) == 527


def test_a_file_that_is_not_the_records_is_refused(file_server: FileServer, cache: Path, content: bytes) -> None:
    file_server.add_record(RECORD, FILE, content, checksum="md5:" + "0" * 32)
    with pytest.raises(PretrainedError, match=f"md5 is .* instead of {'0' * 32}"):
        resolve(DEFAULT_NAME, site=file_server.url)
    file_server.add_record(RECORD, FILE, content, size=len(content) - 1)
    with pytest.raises(PretrainedError, match=f"sent {len(content)} bytes instead of {len(content) - 1}"):
        resolve(DEFAULT_NAME, site=file_server.url)
    assert not list(cache.rglob("*.pth")) and not list(cache.rglob("*.safetensors"))
    file_server.add_record(RECORD, FILE, content, checksum=None, size=None)
    assert resolve(DEFAULT_NAME, site=file_server.url).is_file()


def test_a_damaged_file_put_there_by_hand_is_named(cache: Path) -> None:
    place = cache / str(RECORD) / FILE
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match=f"{FILE}.*copy or download them again"):
        resolve(DEFAULT_NAME, site=NOWHERE)


def test_several_at_once_fetch_it_once(file_server: FileServer, content: bytes) -> None:
    file_server.add_record(RECORD, FILE, content)
    threads = [threading.Thread(target=resolve, args=(DEFAULT_NAME,), kwargs={"site": file_server.url}) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path for path, _ in file_server.requests].count(f"/records/{RECORD}/files/{FILE}") == 1


def test_weights_of_images_are_left_as_they_are(file_server: FileServer, cache: Path) -> None:
    file_server.add_record(8029747, "convnext_dcls_gauss_tiny_1k_224_ema.pth", b"images")
    path = resolve("convnext_tiny-dcls-imagenet", site=file_server.url)
    assert path.read_bytes() == b"images" and path.parent == cache / "8029747"


def test_a_tagger_of_that_name_tags(cache: Path, content: bytes) -> None:
    place = cache / str(RECORD) / FILE
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    tagger = Tagger.load(DEFAULT_NAME)
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    assert len(tagger.tag(noise, sample_rate_hz=32_000, top_k=3).tags) == 3
    assert Tagger.load(cache / DEFAULT_NAME).labels == tagger.labels
    assert find_model(DEFAULT_NAME) == cache / DEFAULT_NAME / "model.safetensors"
    with pytest.raises(PretrainedError, match=r"image model.*model.pretrained_file=convnext_tiny-dcls-imagenet"):
        Tagger.load("convnext_tiny-dcls-imagenet")


def test_the_command_fetches_and_says_from_where(
    file_server: FileServer, cache: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_server.add_record(RECORD, FILE, content)
    for function in (resolve, resolve_tagger):
        monkeypatch.setitem(function.__kwdefaults__, "site", file_server.url)
    result = CliRunner().invoke(app, ["fetch", DEFAULT_NAME], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(cache / DEFAULT_NAME / "model.safetensors")
    assert fetch_weights(DEFAULT_NAME, quiet=True) == Path(result.stdout.strip())
    with pytest.raises(PretrainedError, match="are of an image model"):
        fetch_weights("convnext_tiny-dcls-imagenet")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(PretrainedError, match="did you mean 'convnext_tiny-dcls'"):
        resolve("convnext_tinny-dcls")
    with pytest.raises(PretrainedError, match="there are convnext_tiny-dcls, "):
        resolve("resnet50")


def test_a_record_of_another_form_is_no_traceback(file_server: FileServer) -> None:
    file_server.files["/api/records/1"] = b"[]"
    with pytest.raises(PretrainedError, match=r"does not list .*download 'http.*/records/1/files/a\.pth' by hand"):
        zenodo.look_up(1, "a.pth", file_server.url)
    file_server.add_record(1, "b.pth", b"")
    with pytest.raises(PretrainedError, match=r"lists no 'a\.pth', only b\.pth"):
        zenodo.look_up(1, "a.pth", file_server.url)
