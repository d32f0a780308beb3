"""Manifests: what is read, what is written, and every mistake named by file, row, column and value."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.table import csv_file
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import ManifestError
from audio_dcls.labels import LabelSet

LABELS = LabelSet.audioset()
HEADER = "id,path,start_s,end_s,labels,split\n"
GOOD = "a,a.wav,,,Speech,train\n"
DIGEST = "0123456789abcdef" * 4


def write(folder: Path, text: str | bytes, name: str = "clips.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_every_column(tmp_path):
    path = write(
        tmp_path,
        "split,id,path,start_s,end_s,labels,sha256,note\n"
        f'train,a,sub/a.wav,,,"/m/05zppz;Chicken, rooster",{DIGEST.upper()},free text\n'
        "eval,NA,/abs/b b.flac,1.5,2,speech; SPEECH ;/m/09x0r,,\n",
    )
    manifest = load_manifest(path, LABELS)
    assert list(manifest.clips) == [
        Clip("a", tmp_path / "sub/a.wav", None, None, (1, 99), "train", DIGEST),
        Clip("NA", Path("/abs/b b.flac"), 1.5, 2.0, (0,), "eval", None),
    ]
    assert manifest.splits() == {"train": 1, "eval": 1}
    assert manifest.source == str(path)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + GOOD,
        HEADER.replace(",", ", ") + GOOD.replace(",", ", "),
        HEADER.replace("\n", "\r\n") + GOOD.replace("\n", "\r\n"),
        HEADER + "\n\n" + GOOD + ",,,,,\n\n",
        HEADER + GOOD.rstrip("\n"),
    ],
    ids=["byte-order mark", "spaces after commas", "windows line ends", "blank rows", "no last line end"],
)
def test_forgives_form(tmp_path, text):
    manifest = load_manifest(write(tmp_path, text), LABELS)
    assert list(manifest.clips) == [Clip("a", tmp_path / "a.wav", None, None, (0,), "train", None)]


def test_header_alone_is_an_empty_manifest(tmp_path):
    manifest = load_manifest(write(tmp_path, HEADER), LABELS)
    assert len(manifest.clips) == 0
    assert list(manifest.clips) == []
    assert manifest.splits() == {}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("x,x.wav,,,Speach,train\n", ["row 3", "'labels'", "'Speach'", "did you mean 'Speech'"]),
        ("x,x.wav,,,,train\n", ["row 3", "'labels'", "needs a label"]),
        ("x,x.wav,,,;;,train\n", ["row 3", "'labels'", "needs a label"]),
        ('x,x.wav,,,"Speech,Dog",train\n', ["row 3", "separated by ';'", "'Speech;Dog'"]),
        ("\n,x.wav,,,Speech,train\n", ["row 4", "'id'", "empty"]),
        ("x,,,,Speech,train\n", ["row 3", "'path'", "empty"]),
        ("x,x.wav,,,Speech,\n", ["row 3", "'split'", "empty"]),
        ("x,x.wav,,,Speech\n", ["row 3", "'split'", "empty"]),
        ("a,x.wav,,,Speech,train\n", ["row 3", "'id'", "'a'", "row 2"]),
        ("x,x.wav,5,5,Speech,train\n", ["row 3", "'start_s'", "'5'", "end_s ='5'", "less than"]),
        ("x,x.wav,7,5,Speech,train\n" * 2, ["row 3", "'7'", "1 more row like it"]),
        ("x,x.wav,one,5,Speech,train\n", ["row 3", "'start_s'", "'one'", "number of seconds"]),
        ("x,x.wav,-1,5,Speech,train\n", ["row 3", "'start_s'", "'-1'"]),
        ("x,x.wav,0,inf,Speech,train\n", ["row 3", "'end_s'", "'inf'"]),
        ("x,x.wav,0,nan,Speech,train\n", ["row 3", "'end_s'", "'nan'"]),
        ("x,x.wav,,,Chicken, rooster,train\n", ["row 3", "7 cells", "double quotes"]),
        ('x,x.wav,,,"Speech,train\n', ["row 3", "never closed"]),
    ],
)
def test_wrong_rows_are_named(tmp_path, rows, words):
    path = write(tmp_path, HEADER + GOOD + rows)
    with pytest.raises(ManifestError) as caught:
        load_manifest(path, LABELS)
    for word in [str(path), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b"\n\n", ["is empty"]),
        (b"id,path,start,end_s,labels,split\n", ["no column 'start_s'", "rename 'start'?"]),
        (b"id,path,start_s,end_s,labels\n", ["no column 'split'", "add it"]),
        (b"id,id,path,start_s,end_s,labels,split\n", ["column 'id' 2 times"]),
        (b"id;path;start_s;end_s;labels;split\n", ["use commas"]),
        (b"id\tpath\tstart_s\n", ["use commas"]),
        (b"id;path;end_s\na;a.wav;0,5\n", ["separates its cells by semicolons", "points in its numbers"]),
        (b"id\tpath\tlabels\na\ta.wav\tone,two\n", ["separates its cells by tabs", "save it with commas"]),
        (b"RIFF\x24\x00\x00\x00WAVEfmt \xff\xfe", ["UTF-8", "0xff"]),
        ("id,path,start_s,end_s,labels,split\na,é.wav,,,Speech,x\n".encode("latin-1"), ["UTF-8", "0xe9"]),
        (b"just some text\n", ["no column 'id'", "just some text"]),
        (b"id,path,start_s,end_s,labels,split,sha256\na,a.wav,,,Dog,x,12ab\n", ["row 2", "'sha256'", "'12ab'", "64"]),
    ],
)
def test_wrong_files_are_named(tmp_path, content, words):
    path = write(tmp_path, content)
    with pytest.raises(ManifestError) as caught:
        load_manifest(path, LABELS)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ManifestError, match="does not exist"):
        load_manifest(tmp_path / "none.csv", LABELS)
    with pytest.raises(ManifestError, match="neither a pack nor Parquet files"):
        load_manifest(tmp_path, LABELS)


def test_rows_are_numbered_across_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "CHUNK_ROWS", 3)
    rows = [f"c{i},c{i}.wav,{i},{i + 1},{LABELS.ids[i]},s{i % 2}\n" for i in range(10)]
    path = write(tmp_path, HEADER + "".join(rows))
    manifest = load_manifest(path, LABELS)
    assert [clip.id for clip in manifest.clips] == [f"c{i}" for i in range(10)]
    assert [clip.labels for clip in manifest.clips] == [(i,) for i in range(10)]
    assert [clip.split for clip in manifest.clips] == ["s0", "s1"] * 5
    with pytest.raises(ManifestError, match=r"row 12.*row 3"):
        load_manifest(write(tmp_path, HEADER + "".join(rows) + rows[1]), LABELS)
    with pytest.raises(ManifestError, match=r"row 12.*7 cells"):
        load_manifest(write(tmp_path, HEADER + "".join(rows) + "x,x.wav,,,Speech,train,more\n"), LABELS)


def test_save_and_load_from_another_folder(tmp_path):
    (tmp_path / "one").mkdir()
    text = HEADER + 'a,sub/a.wav,0.1,2.5,"Chicken, rooster;Speech",train\nb,/abs/é.wav,,,Dog,eval\n'
    manifest = load_manifest(write(tmp_path / "one", text), LABELS)
    manifest.save(tmp_path / "two" / "copy.csv")
    again = load_manifest(tmp_path / "two" / "copy.csv", LABELS)
    for before, after in zip(manifest.clips, again.clips, strict=True):
        assert after.path.resolve() == before.path.resolve()
        assert (after.id, after.start_s, after.end_s, after.labels, after.split) == (
            (before.id, before.start_s, before.end_s, before.labels, before.split)
        )
    rows = list(csv.DictReader(io.StringIO((tmp_path / "two" / "copy.csv").read_text(encoding="utf-8"))))
    expected = ("a", "../one/sub/a.wav", "0.1", "2.5", "/m/09b5t;/m/09x0r", "train")
    assert rows[0] == dict(zip(("id", "path", "start_s", "end_s", "labels", "split"), expected, strict=True))
    manifest.save(tmp_path / "one" / "copy.csv")
    assert "sub/a.wav" in (tmp_path / "one" / "copy.csv").read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["copy.csv"]


def test_save_names_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ManifestError, match="cannot be written"):
        Manifest(clips=[], labels=LABELS, source="memory").save(tmp_path / "file" / "clips.csv")


def test_split_keeps_order_and_names_the_unknown(tmp_path):
    rows = "a,x.wav,,,Dog,x\nb,x.wav,,,Cat,y\nc,x.wav,,,Dog;Cat,z\nd,x.wav,,,Cat,x\n"
    manifest = load_manifest(write(tmp_path, HEADER + rows), LABELS)
    assert [clip.id for clip in manifest.split("z", "x").clips] == ["a", "c", "d"]
    assert manifest.split("z").splits() == {"z": 1}
    assert manifest.split("z").clips[0].labels == (74, 81)
    with pytest.raises(ManifestError, match="no clip of split 'train'; it has x, y, z"):
        manifest.split("train")


def test_table_is_a_sequence_of_clips():
    clips = [
        Clip(f"é{i}" * (i % 3), Path(f"p{i}"), i * 1.0 if i % 2 else None, None, tuple(range(i % 4)), f"s{i % 2}", None)
        for i in range(9)
    ]
    table = ClipTable.from_clips(clips)
    assert list(table) == clips == [table[i] for i in range(9)]
    assert table[-1] == clips[-1]
    assert list(table[2:7:2]) == clips[2:7:2]
    assert list(table.take(np.array([8, 0, 0]))) == [clips[8], clips[0], clips[0]]
    assert list(table.take(np.array([False] * 9))) == []
    with pytest.raises(IndexError):
        table[9]
    manifest = Manifest(clips=clips, labels=LABELS, source="memory")
    assert manifest.table.split_sizes() == {"s0": 5, "s1": 4}


def test_string_column_against_lists():
    rng = np.random.default_rng(0)
    for alphabet in ("ab", "aé\u20ac𝄞"):
        strings = ["".join(rng.choice(list(alphabet), size=rng.integers(0, 4))) for _ in range(50)]
        column = StringColumn.from_strings(strings)
        indices = rng.integers(0, 50, 20)
        assert list(column) == strings
        assert column.take(indices).to_list() == [strings[i] for i in indices]
        assert StringColumn.concatenate([column, column.take(np.array([], dtype=int)), column]).to_list() == strings * 2
