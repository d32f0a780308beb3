"""A service in the tests' own process, with a small model of random weights."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import uvicorn
from starlette.testclient import TestClient

from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint
from audio_dcls.service.app import build_app
from audio_dcls.service.settings import ServiceSettings

RATE_HZ = 16_000
START_S = 120.0
LABELS = LabelSet(("/t/a", "/t/b", "/t/c"), ("Dog", "Rain", "Siren"))
MODEL = ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]})
FRONTEND = FrontendConfig(clip_s=1.3)


def write_model(path: Path, seed: int = 0) -> Path:
    """A tagger of three classes and 1.3-s clips."""
    torch.manual_seed(seed)
    model = build_tagger(MODEL, FRONTEND, len(LABELS))
    save_checkpoint(path, model, model_config=MODEL, frontend_config=FRONTEND, labels=LABELS, info={"seed": seed})
    return path


def wav(seconds: float = 1.0, *, seed: int = 0, rate_hz: int = RATE_HZ, channels: int = 1) -> bytes:
    """Noise, as a wav file's bytes."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate_hz), channels))
    return sound_bytes(samples, rate_hz)


def sound_bytes(samples: np.ndarray, rate_hz: int, form: str = "WAV", subtype: str | None = None) -> bytes:
    """Samples (T, C) as a file's bytes."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=form, subtype=subtype)
    return file.getvalue()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="session")
def settings_of(model_path: Path) -> Callable[..., ServiceSettings]:
    """A function that makes settings with the small model, in a folder."""

    def build(folder: Path, **values: Any) -> ServiceSettings:
        return ServiceSettings(
            **{"state_dir": folder / "state", "models": {"small": str(model_path)}, "log_format": "text", **values}
        )

    return build


@pytest.fixture(scope="session")
def start(settings_of: Callable[..., ServiceSettings]) -> Callable[..., TestClient]:
    """A function that makes a client of a service with some settings; `with` starts the service."""

    def build(folder: Path, **values: Any) -> TestClient:
        app = build_app(settings_of(folder, **values))
        return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)

    return build


@pytest.fixture(scope="module")
def client(start: Callable[..., TestClient], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with its default settings."""
    with start(tmp_path_factory.mktemp("service")) as running:
        yield running


@contextlib.contextmanager
def listening(settings: ServiceSettings) -> Iterator[str]:
    """Run a service behind a socket, in a thread; yields its address."""
    app = build_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def serving(folder: Path, *arguments: object) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `audio-dcls serve` in its own process, with its state in a folder; yields its address and the process."""
    log = folder / f"service-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "audio_dcls_cli", "serve", "--port", "0", "--state", folder / "state", *arguments]
    with (
        log.open("wb") as file,
        subprocess.Popen([*map(str, command)], stderr=file, stdout=file, cwd=folder) as process,
    ):
        try:
            end = time.monotonic() + START_S
            while "Serving at" not in (text := log.read_text()):
                assert process.poll() is None, text
                assert time.monotonic() < end, text
                time.sleep(0.1)
            yield text.split("Serving at")[1].split()[0], process
        finally:
            process.terminate()
            process.wait()
