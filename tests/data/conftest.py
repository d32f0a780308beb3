"""Small made sounds, corpora and packs of them, object stores in memory, and `audio-dcls manifest` in this process."""

from __future__ import annotations

import contextlib
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import fsspec
import numpy as np
import pytest
import soundfile

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.packing.packer import pack
from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.table.clip import Clip
from audio_dcls.labels import LabelSet
from audio_dcls_cli import main

LABELS = LabelSet(ids=("/t/low", "/t/high", "/t/noise"), names=("Low, deep", "High", "Noise"))
RATE_HZ = 8_000


@pytest.fixture
def make_sounds() -> Callable[..., None]:
    """Writes 0.2 s of noise under each name; every name sounds different."""

    def make(folder: Path, *names: str) -> None:
        for name in names:
            noise = 0.1 * np.random.default_rng(zlib.crc32(name.encode())).standard_normal(1600)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / name, noise, 8000)

    return make


@pytest.fixture
def manifest_command() -> Callable[..., str]:
    """Runs the command in a folder; returns standard output, or standard error for a mistake (one line, code 2)."""

    def run(*arguments: object, cwd: Path, code: int = 0) -> str:
        stdout, stderr = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            mock.patch.object(sys, "argv", ["audio-dcls", "manifest", *map(str, arguments)]),
            pytest.raises(SystemExit) as caught,
        ):
            main.run()
        assert (caught.value.code or 0) == code, stdout.getvalue() + stderr.getvalue()
        if code != 2:
            return stdout.getvalue()
        assert len(stderr.getvalue().strip().splitlines()) == 1
        return stderr.getvalue()

    return run


def _make_corpus(folder: Path, num_clips: int, *, num_eval: int = 5) -> Manifest:
    """Noise of 0.15 to 0.4 s, one or two channels, wav and flac; the last `num_eval` are of split eval."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for index in range(num_clips):
        shape = (int(rng.integers(1200, 3200)), int(rng.integers(1, 3)))
        path = folder / f"clip{index:03d}.{('wav', 'flac')[index % 2]}"
        soundfile.write(path, 0.1 * rng.standard_normal(shape), RATE_HZ)
        labels = ((0,), (1,), (2, 0), (1, 2))[index % 4]
        split = "eval" if index >= num_clips - num_eval else "train"
        clips.append(Clip(f"clip{index:03d}", path, None, None, labels, split))
    return Manifest(clips=clips, labels=LABELS, source="made")


@pytest.fixture(scope="session")
def make_corpus() -> Callable[..., Manifest]:
    """Writes a corpus: folder, number of clips, and of those of split eval."""
    return _make_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """28 clips, all of which can be used: 23 to train on, 5 to measure on."""
    return _make_corpus(tmp_path_factory.mktemp("sounds"), 28)


@pytest.fixture(scope="session")
def packs(corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Codec], Path]:
    """The corpus packed by each codec at 8 kHz, six rows a shard; not to be changed."""
    made: dict[Codec, Path] = {}

    def of(codec: Codec) -> Path:
        if codec not in made:
            made[codec] = tmp_path_factory.mktemp("packs") / codec.value
            pack(corpus, made[codec], PackSettings(codec, sample_rate_hz=RATE_HZ, rows_per_shard=6))
        return made[codec]

    return of


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Address of an empty object store in memory; what is fetched from it goes to a cache of the test's own."""
    monkeypatch.setenv("AUDIO_DCLS_CACHE", str(tmp_path / "cache"))
    address = f"memory://{tmp_path.name}"
    yield address
    files, root = fsspec.core.url_to_fs(address)
    if files.exists(root):
        files.rm(root, recursive=True)


@pytest.fixture(scope="session")
def content_of() -> Callable[[Path], dict[str, bytes]]:
    """Reads every file of a pack, but the lock."""

    def read(folder: Path) -> dict[str, bytes]:
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".pack.lock")
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    return read
