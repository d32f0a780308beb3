"""Packs elsewhere: what is fetched, what is kept, and epochs that go on clip for clip."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_dcls.data.augment.augmentation import Augmentation, SpectrogramSize
from audio_dcls.data.augment.random_erasing import RandomErasing, RandomErasingConfig
from audio_dcls.data.loading.fetch_ahead import build_fetch_ahead
from audio_dcls.data.loading.loader import train_loader
from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.loading.shard_order import ShardOrder, shards_of
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.packing.packer import pack
from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.packing.verify import verify_pack
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.mirror import Mirror, mirrors_of, shard_cache
from audio_dcls.data.stores.reader import read_row
from audio_dcls.data.stores.store import Store
from audio_dcls.errors import AudioFileError, ConfigError, ManifestError

SETTINGS = PackSettings(Codec.flac, sample_rate_hz=8000, rows_per_shard=6)


@pytest.fixture
def remote(bucket: str, corpus: Manifest) -> str:
    """The corpus packed on an object store."""
    pack(corpus, bucket, SETTINGS, num_workers=2)
    return bucket


def cached(manifest: Manifest) -> list[str]:
    """Shards that are on this machine."""
    return sorted(path.name for path in (manifest.table.folder / "data").glob("*.parquet"))


def test_a_remote_pack_is_the_local_one(remote, packs):
    store = Store(remote)
    local = packs(Codec.flac)
    names = [str(path.relative_to(local)) for path in local.rglob("*") if path.is_file() and path.name[0] != "."]
    assert store.names() == sorted(names)
    for name in names:
        assert store.read(name) == (local / name).read_bytes()
    assert verify_pack(remote, num_workers=2).faults == ()


def test_a_remote_packer_goes_on(remote, corpus, packs):
    store = Store(remote)
    store.remove("data/train-00001-of-00004.parquet")
    store.remove("shards/eval-00000-of-00001.arrow")
    assert pack(corpus, remote, SETTINGS).num_shards_kept == 3
    assert store.read("index.arrow") == (packs(Codec.flac) / "index.arrow").read_bytes()
    assert verify_pack(remote).faults == ()


def test_shards_come_when_they_are_read(remote, corpus):
    manifest = load_manifest(remote, corpus.labels)
    assert cached(manifest) == []
    clip = manifest.clips[8]
    assert not clip.path.exists()
    assert read_row(clip.path, clip.row) is not None
    assert cached(manifest) == ["train-00001-of-00004.parquet"]
    again = load_manifest(remote, corpus.labels)
    assert again.table.folder == manifest.table.folder
    (mirror,) = mirrors_of(manifest.table.paths, manifest.table.folder)
    assert mirror.address == remote


def test_the_cache_stays_within_its_limit(remote, corpus):
    sizes = [Store(remote).size(f"data/train-{number:05d}-of-00004.parquet") or 0 for number in range(4)]
    limit_gb = 2.2 * max(sizes) / 1e9
    with shard_cache(limit_gb):
        manifest = load_manifest(remote, corpus.labels)
    for step, place in enumerate((0, 6, 12, 18, 0, 6)):
        clip = manifest.clips[place]
        os.utime(read_path(clip), (step, step))
        assert len(cached(manifest)) <= 2
    assert cached(manifest) == [f"train-0000{number}-of-00004.parquet" for number in (0, 1)]
    with shard_cache(0.9 * max(sizes) / 1e9), pytest.raises(ConfigError, match=r"data\.shard_cache_gb"):
        load_manifest(remote, corpus.labels)


def read_path(clip: Any) -> Path:
    read_row(clip.path, clip.row)
    return clip.path


def test_a_shard_is_fetched_once_by_many(remote, corpus, monkeypatch):
    manifest = load_manifest(remote, corpus.labels)
    fetched: list[str] = []
    fetch = Store.fetch

    def counted(self: Store, name: str, path: Path) -> None:
        fetched.append(name)
        fetch(self, name, path)

    monkeypatch.setattr(Store, "fetch", counted)
    clip = manifest.clips[0]
    threads = [threading.Thread(target=read_row, args=(clip.path, row)) for row in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == ["data/train-00000-of-00004.parquet"]


def test_a_fetch_is_tried_again_and_a_lost_shard_is_named(remote, corpus, monkeypatch):
    manifest = load_manifest(remote, corpus.labels)
    monkeypatch.setattr("audio_dcls.data.stores.mirror.RETRY_AFTER_S", (0.0, 0.0))
    fetch = Store.fetch
    failures = [OSError("broken pipe"), OSError("time out")]

    def failing(self: Store, name: str, path: Path) -> None:
        if failures:
            raise ManifestError("no network") from failures.pop()
        fetch(self, name, path)

    monkeypatch.setattr(Store, "fetch", failing)
    assert read_row(manifest.clips[0].path, 0) is not None
    failures.extend([OSError("gone")] * 3)
    with pytest.raises(AudioFileError, match="no network"):
        read_row(manifest.clips[6].path, 0)
    monkeypatch.setattr(Store, "fetch", fetch)
    Store(remote).remove("data/train-00001-of-00004.parquet")
    with pytest.raises(AudioFileError) as caught:
        read_row(manifest.clips[6].path, 0)
    assert caught.value.reason == "missing"
    Store(remote).write("data/train-00002-of-00004.parquet", b"another")
    with pytest.raises(AudioFileError, match="7 bytes, but"):
        read_row(manifest.clips[12].path, 0)


def test_what_a_killed_process_left_is_cleared(remote, corpus):
    manifest = load_manifest(remote, corpus.labels)
    folder = manifest.table.folder / "data"
    folder.mkdir()
    for suffix in ("room", "part"):
        left = folder / f".train-00003-of-00004.parquet.{suffix}"
        left.touch()
        os.truncate(left, 10**12)
        os.utime(left, (0, 0))
    assert read_row(manifest.clips[0].path, 0) is not None
    assert [path.name for path in folder.iterdir()] == ["train-00000-of-00004.parquet"]


def test_a_folder_that_is_no_mirror(tmp_path):
    assert Mirror.of(tmp_path) is None


ERASING = RandomErasing(RandomErasingConfig(erase_probability=0.5), SpectrogramSize(33, 16, 51))


def dataset(manifest: Manifest) -> ClipDataset:
    return ClipDataset(
        manifest.split("train").clips,
        num_classes=3,
        sample_rate_hz=8000,
        clip_samples=2000,
        augmentation=Augmentation(1, spectrogram=[ERASING]),
    )


def batches(remote: str, corpus: Manifest, first_step: int, num_steps: int, num_workers: int, rank: int = 0) -> list:
    """Steps of a streaming epoch, from an empty cache that holds two shards."""
    size = Store(remote).size("data/train-00000-of-00004.parquet") or 0
    with shard_cache(2.5 * size / 1e9):
        manifest = load_manifest(remote, corpus.labels)
    data = dataset(manifest)
    order = ShardOrder(shards_of(data.clips), buffer_clips=5)
    sampler = StepBatchSampler(len(data), 4, 2, 1, first_step, num_steps, rank, num_ranks=2, order=order)
    return list(train_loader(data, sampler, num_workers))


@pytest.mark.parametrize("rank", [0, 1])
def test_an_interrupted_streaming_epoch_goes_on_with_the_same_clips(remote, corpus, monkeypatch, tmp_path, rank):
    monkeypatch.setattr("audio_dcls.data.loading.loader.num_cpus", lambda: 8)
    whole = batches(remote, corpus, 0, 8, 0, rank)  # an epoch has 5 steps
    assert not any(batch.failures for batch in whole)
    for first_step, num_workers in ((3, 1), (4, 2), (2, 3)):
        monkeypatch.setenv("AUDIO_DCLS_CACHE", str(tmp_path / f"cache-{first_step}"))
        again = batches(remote, corpus, first_step, 8 - first_step, num_workers, rank)
        assert len(again) == 8 - first_step
        for ours, theirs in zip(again, whole[first_step:], strict=True):
            for name in ("indices", "waveforms", "targets", "draws"):
                torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=0, atol=0)


def test_the_limit_reaches_spawned_processes(remote, corpus):
    with shard_cache(12.5):
        manifest = load_manifest(remote, corpus.labels)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as processes:
        mirror = processes.submit(Mirror.of, manifest.table.folder).result(timeout=240)
    assert mirror is not None and mirror.limit_gb == 12.5


def test_shards_are_fetched_before_they_are_needed(remote, corpus):
    manifest = load_manifest(remote, corpus.labels).split("train")
    order = ShardOrder(shards_of(manifest.table), buffer_clips=1)
    ahead = pickle.loads(pickle.dumps(build_fetch_ahead(order, manifest.table, seed=1)))
    walk = order.permutation(1, 0)
    ahead(0, int(walk[0]))
    coming = [f"train-{shard:05d}-of-00004.parquet" for shard in dict.fromkeys(order.shards[walk].tolist())][1:]
    deadline_s = time.monotonic() + 20
    while cached(manifest) != sorted(coming) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert cached(manifest) == sorted(coming)
    assert build_fetch_ahead(None, manifest.table, seed=1) is None
    assert build_fetch_ahead(order, corpus.split("train").table, seed=1) is None
