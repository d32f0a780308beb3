"""The packed index: the same clips as the CSV, shared by processes, and every damage named; pyarrow reads it too."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_index import METADATA_KEY, VERSION, IndexedTable, read_index, write_index
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import ManifestError
from audio_dcls.labels import LabelSet

LABELS = LabelSet.audioset()
OTHERS = LabelSet(ids=("a", "b"), names=("A", "B"))
NUM_CLIPS = 37


def made_clips(folder: Path) -> list[Clip]:
    rng = np.random.default_rng(0)
    return [
        Clip(
            id=f"é{index}" if index % 5 == 0 else f"clip{index}",
            path=folder / ("sound\udcff.wav" if index == 3 else f"sub/{index}.wav"),
            start_s=None if index % 3 == 0 else 0.5 * index,
            end_s=None if index % 4 == 0 else 0.5 * index + 1,
            labels=tuple(sorted(rng.choice(527, size=index % 4, replace=False).tolist())),
            split=("train", "eval", "extra")[index % 7 % 3],
            sha256="0f" * 32 if index % 2 else None,
        )
        for index in range(NUM_CLIPS)
    ]


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return made_clips(tmp_path)


@pytest.fixture
def path(tmp_path: Path, clips: list[Clip]) -> Path:
    path = tmp_path / "all.clips"
    write_index(ClipTable.from_clips(clips), LABELS, path)
    return path


def test_gives_back_every_clip(path: Path, clips: list[Clip]) -> None:
    table = read_index(path, LABELS)
    assert list(table) == clips == [table[index] for index in range(NUM_CLIPS)]
    assert table[-1] == clips[-1]
    assert table.split_sizes() == ClipTable.from_clips(clips).split_sizes()


def test_a_choice_of_rows_is_that_of_a_plain_table(path: Path, clips: list[Clip]) -> None:
    plain, table = ClipTable.from_clips(clips), read_index(path, LABELS)
    for indices in (
        np.array([5, 5, 36, 0]),
        np.array([], dtype=np.int64),
        np.arange(NUM_CLIPS) % 2 == 0,
        np.arange(4, 9),
        np.array([30, 1, 2, 3]),
    ):
        expected, found = plain.take(indices), table.take(indices)
        assert isinstance(found, IndexedTable) and len(found) == len(expected)
        assert list(found) == list(expected)
        assert [found[index] for index in range(len(found))] == list(expected)
        again = np.arange(len(expected))[::-2]
        assert list(found.take(again)) == list(expected.take(again))
        for field in dataclasses.fields(ClipTable):
            one, other = getattr(expected, field.name), getattr(found, field.name)
            if isinstance(one, StringColumn):
                assert other.to_list() == one.to_list()
            elif isinstance(one, np.ndarray):
                np.testing.assert_array_equal(other, one)


def test_what_is_made_of_it_is_a_plain_table(path: Path, clips: list[Clip]) -> None:
    table = read_index(path, LABELS).take(np.array([3, 1]))
    renamed = table.with_columns(split_names=("x", "y", "z"))
    assert type(renamed) is ClipTable and {clip.split for clip in renamed} <= {"x", "y", "z"}
    both = ClipTable.concatenate([table, read_index(path, LABELS)])
    assert type(both) is ClipTable and list(both) == [clips[3], clips[1], *clips]


def test_travels_by_name(path: Path, clips: list[Clip]) -> None:
    table = read_index(path, LABELS).take(np.array([8, 2, 2]))
    sent = pickle.dumps(table)
    assert len(sent) < 1000 < path.stat().st_size
    assert list(pickle.loads(sent)) == [clips[8], clips[2], clips[2]]
    write_index(ClipTable.from_clips(clips[:5]), LABELS, path)
    assert list(table) == [clips[8], clips[2], clips[2]]  # the file it has mapped is still there for it
    with pytest.raises(ManifestError, match=r"was replaced while it was in use"):
        pickle.loads(sent)


def test_arrow_reads_it_without_this_package(path: Path, clips: list[Clip]) -> None:
    table = pa.ipc.open_file(str(path)).read_all()
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == [clip.id for clip in clips]
    assert [tuple(row["labels"]) for row in rows] == [clip.labels for clip in clips]
    assert [row["split"] for row in rows] == [clip.split for clip in clips]
    assert rows[1]["start_s"] == clips[1].start_s and np.isnan(rows[0]["start_s"])


def test_is_a_manifest_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    csv = tmp_path / "lists" / "clips.csv"
    csv.write_text(
        "id,path,start_s,end_s,labels,split\na,../x.wav,,,Speech,train\nb,/abs/y.wav,1,2,Dog;Cat,eval\n"
        "c,z.wav,,,Music,train\n"
    )
    listed = load_manifest(csv, LABELS)
    write_index(listed.table, LABELS, tmp_path / "index" / "clips.clips")
    found = load_manifest(tmp_path / "index" / "clips.clips", LABELS)
    assert [dataclasses.replace(clip, path=clip.path.resolve()) for clip in found.clips] == [
        dataclasses.replace(clip, path=clip.path.resolve()) for clip in listed.clips
    ]
    assert [clip.id for clip in found.split("train").clips] == ["a", "c"]
    assert {name: counts.sum() for name, counts in found.class_counts().items()} == {"train": 2, "eval": 2}


def test_rows_of_stores_are_kept(tmp_path: Path) -> None:
    clips = [Clip(f"c{n}", tmp_path / "x.h5", None, None, (n,), "train", row=None if n == 1 else n) for n in range(3)]
    write_index(ClipTable.from_clips(clips), LABELS, tmp_path / "x.clips")
    table = read_index(tmp_path / "x.clips", LABELS)
    assert list(table) == clips and [clip.row for clip in table.take(np.array([2, 1]))] == [2, None]


def test_an_empty_table(tmp_path: Path) -> None:
    write_index(ClipTable.from_clips([]), LABELS, tmp_path / "none.clips")
    table = read_index(tmp_path / "none.clips", LABELS)
    assert len(table) == 0 and list(table) == [] and table.split_sizes() == {}


def rewritten(path: Path, **changes: object) -> Path:
    """The same rows under another header."""
    table = pa.ipc.open_file(str(path)).read_all()
    header = json.loads(table.schema.metadata[METADATA_KEY]) | changes
    table = table.replace_schema_metadata({METADATA_KEY: json.dumps(header).encode()})
    path = path.with_name("changed.clips")
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


def test_every_flipped_bit_of_a_column_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for text in (b"clip7", b"sub/8", b"0f0f0f"):
        damaged = bytearray(whole)
        damaged[whole.index(text)] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(ManifestError, match=r"is damaged \(columns \['(id|path|sha256)'\]\)"):
            read_index(path, LABELS)


def test_wrong_files_are_named(path: Path, tmp_path: Path) -> None:
    arrow = tmp_path / "other.clips"
    other = pa.table({"x": [1]})
    with pa.ipc.new_file(str(arrow), other.schema) as writer:
        writer.write_table(other)
    (tmp_path / "text.clips").write_text("id,path\n")
    (tmp_path / "short.clips").write_bytes(path.read_bytes()[:-100])
    (tmp_path / "zero.clips").write_bytes(b"")
    for wrong, words in (
        (tmp_path / "gone.clips", "does not exist"),
        (arrow, "but not an index of clips"),
        (tmp_path / "text.clips", "is not a whole index"),
        (tmp_path / "short.clips", "is not a whole index"),
        (tmp_path / "zero.clips", "is not a whole index"),
        (rewritten(path, version=VERSION + 1), rf"has version {VERSION + 1} .* reads up to {VERSION}; install a newer"),
    ):
        with pytest.raises(ManifestError, match=words) as caught:
            read_index(wrong, LABELS)
        assert str(wrong) in str(caught.value) and "manifest index" in str(caught.value)


def test_other_classes_are_refused(path: Path) -> None:
    with pytest.raises(ManifestError, match=r"written with 527 other classes than the 2 given"):
        read_index(path, OTHERS)


def test_places_that_cannot_be_written_are_named(tmp_path: Path, clips: list[Clip]) -> None:
    table = ClipTable.from_clips(clips)
    with pytest.raises(ManifestError, match=r"must end in '.clips'"):
        write_index(table, LABELS, tmp_path / "all.arrow")
    (tmp_path / "file").write_text("")
    with pytest.raises(ManifestError, match=r"cannot be written"):
        write_index(table, LABELS, tmp_path / "file" / "all.clips")
