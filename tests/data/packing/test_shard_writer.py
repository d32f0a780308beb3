"""A pack as others see it: the `datasets` library, and pyarrow's Parquet reader."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from audio_dcls.data.sound.decode import read_clip
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.index import PackIndex
from audio_dcls.data.stores.pack_file import load_pack_info
from audio_dcls.data.stores.store import Store

CODECS = list(Codec)


@pytest.mark.parametrize("codec", CODECS)
def test_every_sound_lies_where_the_index_says(packs, codec):
    folder = packs(codec)
    index, info = PackIndex.open(folder / "index.arrow"), load_pack_info(Store(folder))
    assert [shard.name for shard in info.shards] == [
        *(f"data/train-{number:05d}-of-00004.parquet" for number in range(4)),
        "data/eval-00000-of-00001.parquet",
    ]
    row = 0
    for shard in info.shards:
        content = (folder / shard.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == shard.sha256
        for expected in pq.read_table(folder / shard.name).to_pylist():
            start, length = int(index.numbers("offset")[row]), int(index.numbers("length")[row])
            assert content[start : start + length] == expected["audio"]["bytes"]
            assert index.digests()[row].tobytes().hex() == expected["sha256"]
            assert hashlib.sha256(expected["audio"]["bytes"]).hexdigest() == expected["sha256"]
            assert index.batch.column("id")[row].as_py() == expected["id"]
            row += 1
    assert row == len(index) == info.num_rows == 28
    np.testing.assert_array_equal(index.numbers("place"), np.arange(28))


def test_stored_sounds_are_the_clips_as_training_reads_them(packs, corpus):
    table = pq.read_table(packs(Codec.flac) / "data" / "train-00001-of-00004.parquet").to_pylist()
    assert [row["id"] for row in table] == [f"clip{index:03d}" for index in range(6, 12)]
    for row, clip in zip(table, corpus.clips[6:12], strict=True):
        found, rate_hz = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        expected = read_clip(clip.path, sample_rate_hz=8000)
        assert rate_hz == 8000 and found.ndim == 1
        np.testing.assert_allclose(found, expected, atol=0.51 / 32_768, rtol=0)  # half a step of 16 bits
        assert row["labels"] == [corpus.labels.ids[index] for index in clip.labels]


def test_source_keeps_the_files(packs, corpus):
    row = pq.read_table(packs(Codec.source) / "data" / "train-00000-of-00004.parquet").to_pylist()[1]
    assert row["audio"] == {"bytes": corpus.clips[1].path.read_bytes(), "path": "clip001.flac"}
    assert row["start_s"] is None and row["end_s"] is None


def test_datasets_reads_a_pack(packs, corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    folder = packs(Codec.flac)
    cache = str(tmp_path / "cache")
    whole = datasets.load_dataset(str(folder), cache_dir=cache)
    assert {split: len(rows) for split, rows in whole.items()} == {"train": 23, "eval": 5}
    assert whole["train"].features["audio"].sampling_rate == 8000
    assert isinstance(whole["train"].features["audio"], datasets.Audio)
    files = sorted(map(str, (folder / "data").glob("train-*.parquet")))
    rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    assert rows.features == whole["train"].features
    raw = rows.cast_column("audio", datasets.Audio(decode=False))
    for row, clip in zip(raw, corpus.clips, strict=False):
        assert row["id"] == clip.id
        assert row["labels"] == [corpus.labels.ids[index] for index in clip.labels]
        assert len(soundfile.read(io.BytesIO(row["audio"]["bytes"]))[0]) == soundfile.info(clip.path).frames


def test_the_card_names_every_split(packs):
    card = (packs(Codec.flac) / "README.md").read_text()
    assert '  - split: train\n    path: "data/train-*.parquet"' in card
    assert '  - split: eval\n    path: "data/eval-*.parquet"' in card


def test_files_of_a_pack(packs):
    folder = packs(Codec.flac)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"pack.json", "index.arrow", "labels.csv", "left_out.csv", "README.md"} < names
    assert Path("shards/eval-00000-of-00001.arrow").as_posix() in names
