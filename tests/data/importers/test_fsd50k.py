"""FSD50K from the files it ships."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.importers.fsd50k import import_fsd50k
from audio_dcls.errors import ManifestError

VOCABULARY = "0,Accelerating_and_revving_and_vroom,/m/07q2z82\n1,Guitar,/m/0342h\n2,Music,/m/04rlf\n"
DEV = (
    "fname,labels,mids,split\n"
    '64760,"Guitar,Music","/m/0342h,/m/04rlf",train\n'
    "345111,Accelerating_and_revving_and_vroom,/m/07q2z82,val\n"
)
EVAL = 'fname,labels,mids\n37199,"Guitar,Music","/m/0342h,/m/04rlf"\n'


def write_lists(folder: Path, dev: str = DEV, eval_: str = EVAL, vocabulary: str = VOCABULARY) -> None:
    truth = folder / "FSD50K.ground_truth"
    truth.mkdir(exist_ok=True)
    for name, text in (("dev", dev), ("eval", eval_), ("vocabulary", vocabulary)):
        (truth / f"{name}.csv").write_text(text)


@pytest.fixture
def dataset(tmp_path: Path, make_sounds: Callable[..., None]) -> Path:
    folder = tmp_path / "FSD50K"
    make_sounds(folder, "FSD50K.dev_audio/64760.wav", "FSD50K.dev_audio/345111.wav", "FSD50K.eval_audio/37199.wav")
    write_lists(folder)
    return folder


def test_clips_of_both_parts_with_all_their_labels(dataset: Path) -> None:
    result = import_fsd50k(dataset)
    labels = result.manifest.labels
    assert labels.ids == ("/m/07q2z82", "/m/0342h", "/m/04rlf")
    assert labels.names[0] == "Accelerating and revving and vroom"
    assert result.manifest.splits() == {"train": 1, "val": 1, "eval": 1}
    clips = list(result.manifest.clips)
    assert [clip.labels for clip in clips] == [(1, 2), (0,), (1, 2)]
    assert clips[2].path == dataset / "FSD50K.eval_audio" / "37199.wav"
    assert len(check_clips(clips).usable) == 3


def test_the_vocabulary_may_stand_in_any_order(dataset: Path) -> None:
    write_lists(dataset, vocabulary="".join(sorted(VOCABULARY.splitlines(keepends=True), reverse=True)))
    assert import_fsd50k(dataset).manifest.labels.ids == ("/m/07q2z82", "/m/0342h", "/m/04rlf")


def test_missing_audio_is_counted(dataset: Path, make_sounds: Callable[..., None]) -> None:
    (dataset / "FSD50K.eval_audio" / "37199.wav").unlink()
    make_sounds(dataset, "FSD50K.eval_audio/1.wav")
    result = import_fsd50k(dataset)
    assert (result.num_found, result.num_missing, result.num_unlisted) == (2, 1, 1)


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"dev": DEV + "7,Bark,/m/05tny_,train\n"}, ["dev.csv'", "row 4", "'mids' (='/m/05tny_')", "vocabulary.csv"]),
        ({"dev": DEV + "7,Music,/m/04rlf,test\n"}, ["dev.csv'", "row 4", "'split' (='test')", "'train' or 'val'"]),
        ({"dev": EVAL}, ["dev.csv'", "column 'split'", "use the original file of FSD50K"]),
        (
            {"dev": DEV + "64760,Music,/m/04rlf,val\n"},
            ["dev.csv'", "row 4", "'fname' (='64760')", "also that of row 2"],
        ),
        ({"eval_": EVAL + "64760,Music,/m/04rlf\n"}, ["eval.csv'", "row 3", "'fname' (='64760')", "is also in '"]),
        ({"eval_": EVAL + "8,Music,\n"}, ["eval.csv'", "row 3", "'mids' (='')", "empty"]),
        ({"vocabulary": "index,name,mid\n" + VOCABULARY}, ["vocabulary.csv'", "row 1", "'index' (='index')"]),
        ({"vocabulary": VOCABULARY + "5,Bark,/m/05tny_\n"}, ["vocabulary.csv'", "row 4", "'index' (='5')", "0 to 3"]),
        (
            {"vocabulary": VOCABULARY + "2,Bark,/m/05tny_\n"},
            ["vocabulary.csv'", "row 4", "'index' (='2')", "also that of row 3"],
        ),
        ({"vocabulary": "0,Music\n"}, ["vocabulary.csv'", "row 1", "2 cells", "index, name, mid"]),
    ],
)
def test_wrong_lists_are_named(dataset: Path, lists: dict[str, str], words: list[str]) -> None:
    write_lists(dataset, **lists)
    with pytest.raises(ManifestError) as caught:
        import_fsd50k(dataset)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["dev.csv", "eval.csv", "vocabulary.csv"])
def test_missing_lists_are_named(dataset: Path, name: str) -> None:
    (dataset / "FSD50K.ground_truth" / name).unlink()
    with pytest.raises(ManifestError, match=f"{name}' does not exist; give the folder that FSD50K unpacks to"):
        import_fsd50k(dataset)


def test_missing_audio_folders_are_named(dataset: Path) -> None:
    (dataset / "FSD50K.eval_audio").rename(dataset / "eval")
    with pytest.raises(ManifestError, match=r"FSD50K\.eval_audio' does not exist .*unpack"):
        import_fsd50k(dataset)


def test_through_the_command_line(dataset: Path, tmp_path: Path, manifest_command: Callable[..., str]) -> None:
    printed = manifest_command("fsd50k", "FSD50K", "--out", "fsd.csv", cwd=tmp_path)
    assert "Splits: train 1, val 1, eval 1" in printed
    assert printed.endswith("--set data.labels=fsd_labels.csv --set 'data.eval_splits=[val]'\n")
    rows = list(csv.DictReader((tmp_path / "fsd.csv").open(newline="")))
    assert rows[0]["path"] == "FSD50K/FSD50K.dev_audio/64760.wav"
    assert rows[0]["labels"] == "/m/0342h;/m/04rlf"
    write_lists(dataset, vocabulary=VOCABULARY.replace("Music", "guitar"))
    error = manifest_command("fsd50k", "FSD50K", "--out", "x.csv", cwd=tmp_path, code=2)
    assert "vocabulary.csv" in error
    assert "rename one of them" in error
