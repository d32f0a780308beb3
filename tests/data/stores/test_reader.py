"""Packed clips as training reads them, and Parquet files of others."""

from __future__ import annotations

import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.sound.decode import read_clip
from audio_dcls.data.sources import read_clip_audio
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.foreign_manifest import read_foreign_manifest
from audio_dcls.data.stores.pack_manifest import read_manifest
from audio_dcls.data.stores.reader import is_packed, read_row
from audio_dcls.data.stores.store import Store
from audio_dcls.errors import AudioFileError, ManifestError
from audio_dcls.labels import LabelSet


@pytest.mark.parametrize("codec", list(Codec))
def test_a_packed_clip_is_the_clip(packs, corpus, codec):
    manifest = load_manifest(packs(codec), corpus.labels)
    assert manifest.splits() == {"train": 23, "eval": 5}
    for clip, original in zip(manifest.clips, corpus.clips, strict=True):
        assert (clip.id, clip.labels, clip.split) == (original.id, original.labels, original.split)
        found = read_clip_audio(clip, sample_rate_hz=8000)
        expected = read_clip(original.path, sample_rate_hz=8000)
        if codec is Codec.opus:
            assert abs(len(found) - len(expected)) <= 1
        else:
            step = 0 if codec is Codec.source else 0.51 / 32_768
            np.testing.assert_allclose(found, expected, atol=step, rtol=0)


def test_a_pack_of_a_pack_is_the_same_pack(packs, corpus, tmp_path, content_of):
    """16-bit sounds at the pack's rate are stored as they are."""
    from audio_dcls.data.packing.packer import pack
    from audio_dcls.data.packing.plan import PackSettings

    again = tmp_path / "again"
    settings = PackSettings(Codec.flac, sample_rate_hz=8000, rows_per_shard=6)
    pack(load_manifest(packs(Codec.flac), corpus.labels), again, settings)
    ours, theirs = content_of(again), content_of(packs(Codec.flac))
    for name in theirs:
        if name.startswith("data/") or name == "index.arrow":
            assert ours[name] == theirs[name], name


def test_labels_are_looked_up_by_identifier(packs, corpus):
    turned = LabelSet(ids=corpus.labels.ids[::-1], names=corpus.labels.names[::-1])
    table = read_manifest(packs(Codec.flac), turned)
    for clip, original in zip(table, corpus.clips, strict=True):
        assert [turned.ids[index] for index in clip.labels] == [corpus.labels.ids[index] for index in original.labels]
    with pytest.raises(ManifestError, match="/t/high"):
        read_manifest(packs(Codec.flac), LabelSet(ids=("/t/low", "/t/noise"), names=("Low", "Noise")))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_other_processes_read_the_same(packs, start):
    path = packs(Codec.flac) / "data" / "train-00001-of-00004.parquet"
    expected = read_row(path, 3).content
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(start)) as processes:
        assert processes.submit(read_row, path, 3).result(timeout=240).content == expected


def noise_flac(seed: int) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, 0.1 * np.random.default_rng(seed).standard_normal(2400), 48_000, format="FLAC")
    return stream.getvalue()


def write_hub(folder: Path, num_rows: int = 7, **changes: list) -> None:
    """Two splits as AudioSet lies on the hub: `datasets`' own schema, compressed, row groups of three."""
    datasets = pytest.importorskip("datasets")
    for split, first in (("bal_train", 0), ("eval", 100)):
        text = datasets.Value("string")
        features = {"video_id": text, "audio": datasets.Audio(), "labels": [text], "human_labels": [text]}
        columns = {
            "video_id": [f"video{first + row}" for row in range(num_rows)],
            "audio": [{"bytes": noise_flac(first + row), "path": f"{row}.flac"} for row in range(num_rows)],
            "labels": [["/m/09x0r", "/m/04rlf"][: 1 + row % 2] for row in range(num_rows)],
            "human_labels": [["Speech", "Music"][: 1 + row % 2] for row in range(num_rows)],
            **changes,
        }
        table = pa.table(columns, schema=datasets.Features(features).arrow_schema)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet", row_group_size=3)


def test_audioset_from_the_hub(tmp_path):
    write_hub(tmp_path)
    manifest = load_manifest(tmp_path, LabelSet.audioset())
    assert manifest.splits() == {"bal_train": 7, "eval": 7}
    assert [clip.id for clip in manifest.clips][6:9] == ["video6", "video100", "video101"]
    assert [manifest.labels.names[label] for label in manifest.clips[1].labels] == ["Speech", "Music"]
    for place in (0, 5, 2, 6, 13, 7):
        clip = manifest.clips[place]
        seed = place if place < 7 else place + 93
        assert read_row(clip.path, clip.row).content == noise_flac(seed)
        expected = soundfile.read(io.BytesIO(noise_flac(seed)), dtype="float32")[0]
        found = read_clip_audio(clip, sample_rate_hz=48_000, require_sound=False)
        np.testing.assert_array_equal(found, expected)
    assert not is_packed(manifest.clips[0].path)


def test_hub_files_elsewhere_and_one_by_one(tmp_path, bucket):
    write_hub(tmp_path / "hub")
    for path in (tmp_path / "hub" / "data").iterdir():
        Store(bucket).write(f"data/{path.name}", path.read_bytes())
    manifest = load_manifest(bucket, LabelSet.audioset())
    clip = manifest.clips[8]
    assert not clip.path.exists()
    assert read_row(clip.path, clip.row).content == noise_flac(101)
    assert len(load_manifest(f"{bucket}/data/eval-00000-of-00001.parquet", LabelSet.audioset()).clips) == 7


def test_other_columns(tmp_path):
    datasets = pytest.importorskip("datasets")
    labels = LabelSet(ids=("dog", "rain"), names=("Dog", "Rain"))
    features = datasets.Features(
        {
            "name": datasets.Value("string"),
            "sound": datasets.Audio(),
            "tag": datasets.ClassLabel(names=["rain", "dog"]),
        }
    )
    sounds = [{"bytes": noise_flac(row), "path": None} for row in range(2)]
    table = pa.table({"name": ["a", "b"], "sound": sounds, "tag": [1, 0]}, schema=features.arrow_schema)
    pq.write_table(table, tmp_path / "0000.parquet")
    with pytest.raises(ManifestError, match=r"no column of labels.*tag"):
        read_manifest(tmp_path, labels)
    clips = read_foreign_manifest(Store(tmp_path), labels, id_column="name", labels_column="tag")
    assert [(clip.id, clip.labels) for clip in clips] == [("a", (0,)), ("b", (1,))]
    assert clips.split_sizes() == {tmp_path.name: 2} or clips.split_sizes() == {"train": 2}
    assert read_row(clips[1].path, 1).content == noise_flac(1)
    with pytest.raises(ManifestError, match="no column 'colour'"):
        read_foreign_manifest(Store(tmp_path), labels, labels_column="colour")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"video_id": ["same"] * 7}, "'same' occurs twice"),
        ({"labels": [["/m/nosuch"]] * 7}, "/m/nosuch"),
        ({"labels": [[]] * 7}, "needs a label"),
    ],
)
def test_wrong_rows_are_named(tmp_path, changes, words):
    write_hub(tmp_path, **changes)
    with pytest.raises(ManifestError, match=words):
        read_manifest(tmp_path, LabelSet.audioset())


def test_rows_without_a_sound_and_files_that_are_none(tmp_path, corpus):
    sounds = [{"bytes": None, "path": "elsewhere.flac"}, {"bytes": b"", "path": None}]
    write_hub(tmp_path / "hub", num_rows=2, audio=sounds)
    path = tmp_path / "hub" / "data" / "eval-00000-of-00001.parquet"
    for row, reason in ((0, "missing"), (1, "empty"), (2, "missing")):
        with pytest.raises(AudioFileError) as caught:
            read_row(path, row)
        assert caught.value.reason == reason
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.parquet").write_text("no")
    with pytest.raises(AudioFileError, match="not a readable Parquet file"):
        read_row(tmp_path / "text" / "a.parquet", 0)
    with pytest.raises(ManifestError, match="not a readable Parquet file"):
        read_manifest(tmp_path / "text", corpus.labels)
    (tmp_path / "bare").mkdir()
    with pytest.raises(ManifestError, match="neither a pack nor Parquet"):
        read_manifest(tmp_path / "bare", corpus.labels)
    pq.write_table(pa.table({"id": ["a"], "labels": ["/t/low"]}), tmp_path / "bare" / "x.parquet")
    with pytest.raises(ManifestError, match="no column of sounds"):
        read_manifest(tmp_path / "bare", corpus.labels)
