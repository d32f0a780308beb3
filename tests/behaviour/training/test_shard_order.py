"""Training on a pack, in the order of its shards: stopped and resumed, it ends with the same weights."""

from __future__ import annotations

import fsspec
import pytest
import torch

from audio_dcls.data.config import DataConfig
from audio_dcls.data.loading.shard_order import ShardOrder
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.packing.packer import pack
from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.mirror import shard_cache
from audio_dcls.errors import ConfigError
from audio_dcls.labels import LabelSet
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.checkpoint.tensor_file import load_tensors
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.resumable_keys import override_resumable_keys
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.prepare import build_order
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import CheckpointWritten


@pytest.fixture
def remote(tiny_corpus, tmp_path, monkeypatch):
    """The tiny corpus on an object store in memory."""
    monkeypatch.setenv("AUDIO_DCLS_CACHE", str(tmp_path / "cache"))
    address = f"memory://{tmp_path.name}"
    manifest = load_manifest(tiny_corpus / "manifest.csv", LabelSet.from_csv(tiny_corpus / "labels.csv"))
    pack(manifest, address, PackSettings(Codec.flac, sample_rate_hz=16_000, rows_per_shard=4))
    yield address
    files, root = fsspec.core.url_to_fs(address)
    files.rm(root, recursive=True)


def test_the_order_a_config_names(remote, tiny_corpus):
    config = DataConfig(manifests=(remote,), labels=str(tiny_corpus / "labels.csv"), order="shards", shuffle_buffer=3)
    clips = load_manifests(config).table
    order = build_order(config, clips)
    assert isinstance(order, ShardOrder)
    assert (len(set(order.shards.tolist())), order.buffer_clips) == (9, 3)
    random = config.model_copy(update={"order": "random"})
    assert build_order(random, clips) is None


def test_a_uniform_shuffle_of_more_than_the_cache_holds_is_refused(remote, tiny_corpus):
    config = DataConfig(manifests=(remote,), labels=str(tiny_corpus / "labels.csv"), shard_cache_gb=4e-4)
    with pytest.raises(ConfigError, match=r"data\.order=shards"):
        build_order(config, load_manifests(config).table)
    with shard_cache(1.0):
        assert build_order(config, load_manifest(remote, LabelSet.from_csv(config.labels)).table) is None


def test_a_streamed_run_cut_in_an_epoch_goes_on_with_the_same_bits(remote, tiny_values, tmp_path, monkeypatch):
    changes = {
        "data": {"manifests": [remote], "order": "shards", "shuffle_buffer": 6},
        "loop": {"epochs": 2, "checkpoint_every_steps": 2},
    }
    config = build(TrainConfig, merge(tiny_values, changes), "test")
    ends = []
    for name, cut_after in (("whole", None), ("cut", 2)):
        monkeypatch.setenv("AUDIO_DCLS_CACHE", str(tmp_path / f"cache-{name}"))
        study = StudyDir(tmp_path / name)
        study.create(config)
        clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
        assert len(clips.train) == 24
        for event in train_study(config, study, clips):
            if isinstance(event, CheckpointWritten) and event.step == cut_after:
                break
        workers = override_resumable_keys(config, ["data.num_workers=2", "data.shard_cache_gb=1.5"])
        list(train_study(workers, study, clips))
        ends.append(load_tensors(study.run(0).newest_checkpoint() / MODEL_FILE)[0])
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
