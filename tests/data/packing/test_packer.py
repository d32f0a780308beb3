"""Packing: the same bytes however often it was interrupted; what cannot be read is left out and named."""

from __future__ import annotations

import csv
import functools
import io
import multiprocessing
import os
import shutil
import signal
import threading
from pathlib import Path

import filelock
import numpy as np
import pytest
import soundfile

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.packing.packer import pack
from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.packing.verify import verify_pack
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.pack_manifest import read_manifest
from audio_dcls.data.stores.reader import read_row
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import ArgumentError, ManifestError
from audio_dcls.labels import LabelSet

FLAC = PackSettings(Codec.flac, sample_rate_hz=8000, rows_per_shard=6)


@pytest.mark.parametrize("codec", list(Codec))
def test_threads_change_no_byte(packs, corpus, tmp_path, codec, content_of):
    counts: list[int] = []
    settings = PackSettings(codec, sample_rate_hz=8000, rows_per_shard=6)
    result = pack(corpus, tmp_path / "pack", settings, num_workers=3, on_progress=counts.append)
    assert content_of(tmp_path / "pack") == content_of(packs(codec))
    assert sum(counts) == 28 and result.num_shards_kept == 0 and not result.left_out


def test_a_second_run_keeps_every_shard(packs, corpus, tmp_path):
    shutil.copytree(packs(Codec.flac), tmp_path / "pack")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "pack" / "data").iterdir()}
    counts: list[int] = []
    assert pack(corpus, tmp_path / "pack", FLAC, on_progress=counts.append).num_shards_kept == 5
    assert sum(counts) == 28
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "pack" / "data").iterdir()} == times


@pytest.mark.parametrize(
    "lost",
    [
        ["data/train-00002-of-00004.parquet"],
        ["shards/eval-00000-of-00001.arrow"],
        ["pack.json", "data", "shards", "index.arrow", "labels.csv", "left_out.csv", "README.md"],
        ["index.arrow", "README.md", "labels.csv", "left_out.csv"],
    ],
)
def test_what_is_lost_is_written_again(packs, corpus, tmp_path, lost, content_of):
    folder = tmp_path / "pack"
    shutil.copytree(packs(Codec.flac), folder)
    for name in lost:
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / ".train-00002-of-00004.parquet.part").write_bytes(b"half a shard")
    pack(corpus, folder, FLAC)
    (folder / "data" / ".train-00002-of-00004.parquet.part").unlink(missing_ok=True)
    assert content_of(folder) == content_of(packs(Codec.flac))


def test_a_shard_cut_short_is_written_again(packs, corpus, tmp_path, content_of):
    folder = tmp_path / "pack"
    shutil.copytree(packs(Codec.flac), folder)
    shard = folder / "data" / "train-00000-of-00004.parquet"
    shard.write_bytes(shard.read_bytes()[:-10])
    assert pack(corpus, folder, FLAC).num_shards_kept == 4
    assert content_of(folder) == content_of(packs(Codec.flac))


def broken(corpus: Manifest, folder: Path) -> Manifest:
    """Clip 2 is text, clip 7 silent, clip 8 missing, clip 25 not the file that was listed."""
    clips = list(corpus.clips)
    (folder / "text.wav").write_text("404")
    soundfile.write(folder / "silent.wav", np.zeros(4000), 8000)
    for index, path, sha256 in (
        (2, folder / "text.wav", None),
        (7, folder / "silent.wav", None),
        (8, folder / "gone.wav", None),
        (25, clips[25].path, "0" * 64),
    ):
        old = clips[index]
        clips[index] = Clip(old.id, path, None, None, old.labels, old.split, sha256)
    return Manifest(clips=clips, labels=corpus.labels, source="broken")


@pytest.mark.parametrize("codec", [Codec.flac, Codec.source])
def test_clips_that_cannot_be_read_are_left_out_and_move_no_other(corpus, tmp_path, codec, content_of):
    manifest = broken(corpus, tmp_path)
    settings = PackSettings(codec, sample_rate_hz=8000, rows_per_shard=6)
    result = pack(manifest, tmp_path / "pack", settings, num_workers=2)
    reasons = {"clip002": "unreadable", "clip007": "silent", "clip008": "missing", "clip025": "changed"}
    assert {clip.id: clip.reason for clip in result.left_out} == reasons
    rows = list(csv.DictReader((tmp_path / "pack" / "left_out.csv").open(newline="")))
    assert {row["id"]: row["reason"] for row in rows} == reasons
    assert [shard.num_rows for shard in result.info.shards] == [5, 4, 6, 5, 4]
    kept = read_manifest(tmp_path / "pack", corpus.labels)
    assert kept.ids.to_list() == [clip.id for clip in manifest.clips if clip.id not in reasons]
    assert verify_pack(tmp_path / "pack").faults == ()
    before = content_of(tmp_path / "pack")
    assert pack(manifest, tmp_path / "pack", settings).num_shards_kept == 5
    assert content_of(tmp_path / "pack") == before


def test_left_out_clips_can_be_tried_again(corpus, tmp_path):
    manifest = broken(corpus, tmp_path)
    pack(manifest, tmp_path / "pack", FLAC)
    soundfile.write(tmp_path / "gone.wav", 0.1 * np.random.default_rng(3).standard_normal(4000), 8000)
    assert len(pack(manifest, tmp_path / "pack", FLAC).left_out) == 4
    result = pack(manifest, tmp_path / "pack", FLAC, retry_left_out=True)
    assert [clip.id for clip in result.left_out] == ["clip002", "clip007", "clip025"]
    assert result.num_shards_kept == 2
    assert verify_pack(tmp_path / "pack").faults == ()


def test_times_are_kept_by_source_and_cut_by_the_others(corpus, tmp_path):
    rng = np.random.default_rng(5)
    soundfile.write(tmp_path / "long.wav", 0.1 * rng.standard_normal(16_000), 8000)
    clips = [Clip("part", tmp_path / "long.wav", 0.5, 1.25, (1,), "train")]
    manifest = Manifest(clips=clips, labels=corpus.labels, source="made")
    for codec, times in ((Codec.flac, (None, None)), (Codec.source, (0.5, 1.25))):
        pack(manifest, tmp_path / codec.value, PackSettings(codec, sample_rate_hz=8000))
        clip = read_manifest(tmp_path / codec.value, corpus.labels)[0]
        assert (clip.start_s, clip.end_s) == times
    stored = soundfile.read(io.BytesIO((tmp_path / "long.wav").read_bytes()), dtype="int16")[0]
    clip = read_manifest(tmp_path / "flac", corpus.labels)[0]
    found = soundfile.read(io.BytesIO(read_row(clip.path, 0).content), dtype="int16")[0]
    np.testing.assert_array_equal(found, stored[4000:10_000])


def test_another_plan_is_refused_by_what_differs(packs, corpus, tmp_path, content_of):
    folder = tmp_path / "pack"
    shutil.copytree(packs(Codec.flac), folder)
    with pytest.raises(ManifestError, match="codec flac, requested opus"):
        pack(corpus, folder, PackSettings(Codec.opus, sample_rate_hz=8000, rows_per_shard=6))
    with pytest.raises(ManifestError, match="rows_per_shard 6, requested 7"):
        pack(corpus, folder, PackSettings(Codec.flac, sample_rate_hz=8000, rows_per_shard=7))
    fewer = Manifest(clips=corpus.clips[:27], labels=corpus.labels, source="made")
    with pytest.raises(ManifestError, match="num_clips 28, requested 27"):
        pack(fewer, folder, FLAC)
    assert content_of(folder) == content_of(packs(Codec.flac))


def test_mistakes(corpus, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ManifestError, match=r"notes\.txt"):
        pack(corpus, tmp_path / "mine", FLAC)
    with pytest.raises(ArgumentError, match="num_workers"):
        pack(corpus, tmp_path / "new", FLAC, num_workers=-1)
    with pytest.raises(ArgumentError, match="rows_per_shard"):
        PackSettings(rows_per_shard=0)
    with pytest.raises(ArgumentError, match="no clips"):
        pack(Manifest(clips=[], labels=corpus.labels, source="none.csv"), tmp_path / "new", FLAC)
    with pytest.raises(ManifestError, match="nosuch"):
        pack(corpus, "nosuch://bucket/pack", FLAC)
    same = [Clip("a", Path("a.wav"), None, None, (0,), "x-y"), Clip("b", Path("b.wav"), None, None, (0,), "x_y")]
    with pytest.raises(ManifestError, match="'x-y' and 'x_y'"):
        pack(Manifest(clips=same, labels=corpus.labels, source="same"), tmp_path / "new", FLAC)


def test_one_packer_at_a_time(corpus, tmp_path):
    (tmp_path / "pack").mkdir()
    with (
        filelock.FileLock(tmp_path / "pack" / ".pack.lock"),
        pytest.raises(ManifestError, match="another process"),
    ):
        pack(corpus, tmp_path / "pack", FLAC)


def test_an_unfinished_pack_is_not_read(corpus, packs, tmp_path):
    folder = tmp_path / "pack"
    shutil.copytree(packs(Codec.flac), folder)
    text = (folder / "pack.json").read_text()
    (folder / "pack.json").write_text(text.replace('"is_complete": true', '"is_complete": false'))
    with pytest.raises(ManifestError, match="not finished"):
        read_manifest(folder, corpus.labels)
    (folder / "pack.json").write_text(text.replace('"format": 1', '"format": 9, "colour": "red"'))
    with pytest.raises(ManifestError, match="format 9"):
        read_manifest(folder, corpus.labels)
    (folder / "pack.json").write_text(text[:100])
    with pytest.raises(ManifestError, match="not a valid description of a pack"):
        read_manifest(folder, corpus.labels)


def pack_and_die(manifest: Manifest, folder: Path, settings: PackSettings, num_clips: int, more_s: float) -> None:
    """Pack, and be killed some time after so many clips are done, wherever that is; before many more are."""
    left = num_clips
    kill = functools.partial(os.kill, os.getpid(), signal.SIGKILL)
    timer = threading.Timer(more_s, kill)

    def count(done: int) -> None:
        nonlocal left
        before, left = left, left - done
        if before > 0 >= left:
            timer.start()
        if left < -len(manifest.clips) / 8:  # the timer was not given its turn
            kill()

    pack(manifest, folder, settings, num_workers=2, on_progress=count)


def kill_and_rerun(manifest: Manifest, folder: Path, settings: PackSettings, num_kills: int) -> int:
    """Pack in processes that are killed at random moments, then to the end; number of those that were killed."""
    rng = np.random.default_rng(0)
    killed = 0
    for number in range(num_kills):
        num_clips = int((number + rng.uniform(0.2, 0.8)) / (num_kills + 1) * len(manifest.clips))
        process = multiprocessing.get_context("fork").Process(
            target=pack_and_die, args=(manifest, folder, settings, num_clips, rng.uniform(0, 0.02))
        )
        process.start()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    pack(manifest, folder, settings, num_workers=2)
    for part in folder.rglob(".*.part"):
        part.unlink()
    return killed


def test_killed_packers_leave_the_bytes_of_one_clean_run(tmp_path, content_of, make_corpus):
    manifest = make_corpus(tmp_path / "sounds", 160)
    settings = PackSettings(Codec.flac, sample_rate_hz=32_000, rows_per_shard=8)
    pack(manifest, tmp_path / "clean", settings, num_workers=2)
    assert kill_and_rerun(manifest, tmp_path / "killed", settings, 2) == 2
    assert content_of(tmp_path / "killed") == content_of(tmp_path / "clean")
    assert verify_pack(tmp_path / "killed").faults == ()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_3000_clips_survive_five_kills(tmp_path, content_of):
    from audio_dcls.data.demo import write_demo_corpus

    corpus = write_demo_corpus(tmp_path / "demo", num_train=2600, num_eval=400)
    manifest = load_manifest(corpus.manifest, LabelSet.from_csv(corpus.labels))
    settings = PackSettings(Codec.flac, rows_per_shard=100)
    pack(manifest, tmp_path / "clean", settings, num_workers=2)
    assert kill_and_rerun(manifest, tmp_path / "killed", settings, 5) == 5
    assert content_of(tmp_path / "killed") == content_of(tmp_path / "clean")
    assert verify_pack(tmp_path / "killed", num_workers=2).faults == ()
