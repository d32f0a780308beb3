"""HDF5 files in PANNs' layout, written by h5py: every good row is used, every blank one is named."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.sources import read_clip_audio
from audio_dcls.data.stores.hdf5_clips import read_manifest, read_row, split_of
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import AudioFileError, ManifestError
from audio_dcls.labels import LabelSet

RATE_HZ = 32_000
NUM_ROWS = 20
BLANK = {3: "no name", 11: "no label", 17: "only zeros"}
LABELS = LabelSet(ids=("/t/a", "/t/b", "/t/c"), names=("A", "B", "C"))


def write_panns(path: Path, *, rate_hz: int | None = RATE_HZ, num_classes: int = 3) -> np.ndarray:
    """The layout as PANNs' packing script makes it, a tenth of the rows blank; returns the waveforms (N, T)."""
    rng = np.random.default_rng(0)
    waveforms = rng.integers(-9000, 9000, (NUM_ROWS, 6400), dtype=np.int16)
    waveforms[17] = 0
    with h5py.File(path, "w") as file:
        names = file.create_dataset("audio_name", shape=(NUM_ROWS,), dtype="S20")
        file.create_dataset("waveform", data=waveforms)
        targets = file.create_dataset("target", shape=(NUM_ROWS, num_classes), dtype=bool)
        for row in range(NUM_ROWS):
            names[row] = f"Yclip{row:02d}.wav".encode() if row != 3 else b""
            targets[row] = [(row + column) % 3 == 0 and row != 11 for column in range(num_classes)]
        if rate_hz is not None:
            file.attrs.create("sample_rate", data=rate_hz, dtype=np.int32)
    return waveforms


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("hdf5") / "balanced_train.h5"
    return path, write_panns(path)


def test_a_file_is_a_manifest(packed):
    path, _ = packed
    manifest = load_manifest(path, LABELS)
    assert manifest.splits() == {"balanced_train": NUM_ROWS}
    assert [clip.row for clip in manifest.clips] == list(range(NUM_ROWS))
    assert manifest.clips[4].id == "Yclip04" and manifest.clips[3].id == "balanced_train-row3"
    with h5py.File(path) as file:
        theirs = [tuple(np.flatnonzero(row)) for row in file["target"][:]]
    assert [clip.labels for clip in manifest.clips] == theirs


def test_every_row_is_read_as_h5py_reads_it(packed):
    path, waveforms = packed
    for row in set(range(NUM_ROWS)) - set(BLANK):
        sound = read_row(path, row)
        assert (sound.samples.dtype, sound.sample_rate_hz) == (np.int16, RATE_HZ)
        np.testing.assert_array_equal(sound.samples, waveforms[row])
    clip = load_manifest(path, LABELS).clips[5]
    np.testing.assert_array_equal(
        read_clip_audio(clip, sample_rate_hz=RATE_HZ, end_s=0.1), waveforms[5, :3200].astype(np.float32) / 32_768
    )


@pytest.mark.parametrize("row", BLANK)
def test_a_blank_row_is_refused_and_says_why(packed, row):
    path, _ = packed
    with pytest.raises(AudioFileError, match=f"row {row} is blank: it has {BLANK[row]}; pack") as caught:
        read_row(path, row)
    assert caught.value.reason == "blank"


def test_a_check_counts_the_blank_rows_and_keeps_the_others(packed):
    path, _ = packed
    report = check_clips(load_manifest(path, LABELS).clips, num_workers=3)
    assert {(problem.id, problem.reason) for problem in report.problems} == {
        ("balanced_train-row3", "blank"),
        ("Yclip11", "blank"),
        ("Yclip17", "blank"),
    }
    assert len(report.usable) == NUM_ROWS - len(BLANK)
    assert report.usable.rows is not None and set(report.usable.rows.tolist()).isdisjoint(BLANK)


def test_a_manifest_of_rows_survives_being_written(packed, tmp_path):
    path, waveforms = packed
    table = load_manifest(path, LABELS).table
    loaded = Manifest(table.take(table.label_counts() > 0), LABELS, "rows with a label")
    loaded.save(tmp_path / "rows.csv")
    again = load_manifest(tmp_path / "rows.csv", LABELS)
    assert [(c.id, c.row, c.labels) for c in again.clips] == [(c.id, c.row, c.labels) for c in loaded.clips]
    np.testing.assert_array_equal(
        read_clip_audio(again.clips[5], sample_rate_hz=RATE_HZ), waveforms[5].astype(np.float32) / 32_768
    )
    text = (tmp_path / "rows.csv").read_text()
    (tmp_path / "rows.csv").write_text(text.replace(",5\n", ",-5\n"))
    with pytest.raises(ManifestError, match=r"column 'row' .='-5'. must be the number of a row"):
        load_manifest(tmp_path / "rows.csv", LABELS)


def test_several_files_go_together(packed, tmp_path):
    write_panns(tmp_path / "unbalanced_train_part00.h5")
    write_panns(tmp_path / "unbalanced_train_part01.h5")
    for number, name in enumerate(("unbalanced_train_part00.h5", "unbalanced_train_part01.h5")):
        with h5py.File(tmp_path / name, "r+") as file:
            file["audio_name"][:] = [name and f"p{number}".encode() + name for name in file["audio_name"][:]]
    paths = [packed[0], tmp_path / "unbalanced_train_part00.h5", tmp_path / "unbalanced_train_part01.h5"]
    joined = Manifest.concatenate([load_manifest(path, LABELS) for path in paths])
    assert joined.splits() == {"balanced_train": NUM_ROWS, "unbalanced_train": 2 * NUM_ROWS}
    assert len(check_clips(joined.clips).usable) == 3 * (NUM_ROWS - len(BLANK))


def test_the_split_is_asked_for_or_an_attribute_or_the_name(packed, tmp_path):
    write_panns(tmp_path / "3.h5")
    assert read_manifest(tmp_path / "3.h5", LABELS, split="mine").split_names == ("mine",)
    assert read_manifest(tmp_path / "3.h5", LABELS).split_names == ("3",)
    with h5py.File(tmp_path / "3.h5", "r+") as file:
        file.attrs["split"] = "eval"
    assert read_manifest(tmp_path / "3.h5", LABELS).split_names == ("eval",)
    assert split_of("full_unbalanced_train-part_12.hdf") == "full_unbalanced_train"


def test_a_rate_that_is_not_told_is_said_to_be_taken(tmp_path):
    write_panns(tmp_path / "a.h5", rate_hz=None)
    with pytest.warns(UserWarning, match="no attribute 'sample_rate': a rate of 32000 Hz is assumed"):
        read_manifest(tmp_path / "a.h5", LABELS)
    assert read_row(tmp_path / "a.h5", 0).sample_rate_hz == 32_000
    write_panns(tmp_path / "b.h5", rate_hz=16_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clips = load_manifest(tmp_path / "b.h5", LABELS).clips
    assert read_clip_audio(clips[0], sample_rate_hz=RATE_HZ).shape == (12_800,)


def test_a_name_that_comes_again_is_told_apart(tmp_path):
    write_panns(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["audio_name"][5] = b"Yclip04.wav"
    assert load_manifest(tmp_path / "a.h5", LABELS).clips[5].id == "Yclip04-row5"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("chunks", [None, (1, 6400)])
def test_floating_and_compressed_rows_are_read(tmp_path, dtype, chunks):
    waveforms = write_panns(tmp_path / "a.h5") / 32_768
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["waveform"]
        options = {} if chunks is None else {"chunks": chunks, "compression": "gzip"}
        file.create_dataset("waveform", data=waveforms.astype(dtype), **options)
    sound = read_row(tmp_path / "a.h5", 4)
    assert sound.samples.dtype == np.float32
    np.testing.assert_array_equal(sound.samples, waveforms[4].astype(dtype).astype(np.float32))


def test_names_may_be_text_of_any_length(tmp_path):
    write_panns(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        names = [name.decode() for name in file["audio_name"][:]]
        del file["audio_name"]
        file.create_dataset("audio_name", data=names, dtype=h5py.string_dtype())
    assert load_manifest(tmp_path / "a.h5", LABELS).clips[4].id == "Yclip04"
    with pytest.raises(AudioFileError, match="no name"):
        read_row(tmp_path / "a.h5", 3)


def test_what_is_not_such_a_file_is_refused(packed, tmp_path):
    with pytest.raises(ManifestError, match=r"none\.h5' does not exist; check"):
        load_manifest(tmp_path / "none.h5", LABELS)
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(ManifestError, match="is not a readable HDF5 file"):
        load_manifest(tmp_path / "text.h5", LABELS)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["logits"] = np.zeros(3)
    with pytest.raises(ManifestError, match=r"has no dataset 'audio_name'; it has logits; docs/sources\.md"):
        load_manifest(tmp_path / "other.h5", LABELS)
    with pytest.raises(ManifestError, match="'target' of 3 classes, the label set has 527; name"):
        load_manifest(packed[0], LabelSet.audioset())
    write_panns(tmp_path / "short.h5")
    with h5py.File(tmp_path / "short.h5", "r+") as file:
        del file["target"]
        file["target"] = np.zeros((5, 3), dtype=bool)
    with pytest.raises(ManifestError, match=r"'target' of shape \(5, 3\) and type bool, which must have 2 axes"):
        load_manifest(tmp_path / "short.h5", LABELS)
    with pytest.raises(AudioFileError, match="row 99 does not exist: the file has 20 rows") as caught:
        read_row(packed[0], 99)
    assert caught.value.reason == "missing"


def test_a_file_cut_short_is_unreadable(packed, tmp_path):
    whole = packed[0].read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioFileError) as caught:
        read_row(tmp_path / "cut.h5", 4)
    assert caught.value.reason == "unreadable"


def test_a_row_is_read_without_the_others(tmp_path):
    """A file of 2 GB that is a hole but for its last row; the process grows by less than a hundredth of that."""
    psutil = pytest.importorskip("psutil")
    path = tmp_path / "huge.h5"
    num_rows, num_samples = 3_000, 320_000
    with h5py.File(path, "w") as file:
        names = file.create_dataset("audio_name", shape=(num_rows,), dtype="S20")
        waveforms = file.create_dataset("waveform", shape=(num_rows, num_samples), dtype=np.int16)
        targets = file.create_dataset("target", shape=(num_rows, 3), dtype=bool)
        names[2_999], targets[2_999] = b"Ylast.wav", [True, False, False]
        waveforms[2_999] = np.arange(num_samples) % 100
    assert path.stat().st_size > 1.9e9
    before = psutil.Process().memory_info().rss
    np.testing.assert_array_equal(read_row(path, 2_999).samples, np.arange(num_samples) % 100)
    assert psutil.Process().memory_info().rss - before < 1e7


def _sum_of(job: tuple[Path, int]) -> tuple[int, int]:
    path, row = job
    return os.getpid(), int(read_row(path, row).samples.astype(np.int64).sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_open_the_file_for_themselves(packed, method):
    path, waveforms = packed
    rows = [row for row in range(NUM_ROWS) if row not in BLANK]
    read_row(path, 0)  # open here before any process is forked
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap(read_row, [(path, row) for row in rows], chunksize=1)
    np.testing.assert_array_equal([sound.samples for sound in found], waveforms[rows])
    np.testing.assert_array_equal(read_row(path, 1).samples, waveforms[1])


def test_threads_share_one_file(packed):
    path, waveforms = packed
    rows = [row for row in range(NUM_ROWS) if row not in BLANK] * 5
    with ThreadPoolExecutor(8) as pool:
        sums = [total for _, total in pool.map(_sum_of, [(path, row) for row in rows])]
    assert sums == waveforms[rows].astype(np.int64).sum(axis=1).tolist()


def test_rows_stay_with_their_clips(packed):
    table = read_manifest(packed[0], LABELS)
    assert table.take(np.array([7, 2])).rows.tolist() == [7, 2]  # type: ignore[union-attr]
    assert [clip.row for clip in ClipTable.from_clips(list(table))] == list(range(NUM_ROWS))
