"""ESC-50 from the files it ships."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.importers.esc50 import import_esc50
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.errors import ManifestError
from audio_dcls.labels import LabelSet

HEADER = "filename,fold,target,category,esc10,src_file,take\n"
ROWS = [
    "1-100032-A-0.wav,1,0,dog,True,100032,A\n",
    "1-100038-A-14.wav,1,14,chirping_birds,False,100038,A\n",
    "2-102581-A-14.wav,2,14,chirping_birds,False,102581,A\n",
    "5-9032-A-0.wav,5,0,dog,True,9032,A\n",
    "3-110913-B-7.wav,3,7,rooster,False,110913,B\n",
    "4-121532-A-10.wav,4,10,rain,True,121532,A\n",
]


@pytest.fixture
def dataset(tmp_path: Path, make_sounds: Callable[..., None]) -> Path:
    folder = tmp_path / "ESC-50-master"
    make_sounds(folder / "audio", *(row.split(",")[0] for row in ROWS))
    write_list(folder, HEADER + "".join(ROWS))
    return folder


def write_list(folder: Path, text: str) -> None:
    (folder / "meta").mkdir(exist_ok=True)
    (folder / "meta" / "esc50.csv").write_text(text)


def test_every_row_becomes_a_clip_of_one_class_and_one_fold(dataset: Path) -> None:
    result = import_esc50(dataset)
    labels = result.manifest.labels
    assert labels.ids == ("dog", "rooster", "rain", "chirping_birds")  # in the order of `target`
    assert labels.names[3] == "chirping birds"
    assert (result.num_found, result.num_missing, result.num_unlisted) == (6, 0, 0)
    assert result.manifest.splits() == {"fold1": 2, "fold2": 1, "fold5": 1, "fold3": 1, "fold4": 1}
    clips = {clip.id: clip for clip in result.manifest.clips}
    clip = clips["1-100038-A-14"]
    assert (clip.path, clip.start_s, clip.end_s) == (dataset / "audio" / "1-100038-A-14.wav", None, None)
    assert [labels.ids[label] for label in clip.labels] == ["chirping_birds"]
    assert len(check_clips(result.manifest.clips).usable) == 6


def test_esc10_keeps_its_rows_and_closes_the_classes_up(dataset: Path) -> None:
    result = import_esc50(dataset, esc10=True)
    assert result.manifest.labels.ids == ("dog", "rain")
    assert [clip.id for clip in result.manifest.clips] == ["1-100032-A-0", "5-9032-A-0", "4-121532-A-10"]
    assert (result.num_found, result.num_unlisted) == (3, 0)  # the other forty classes' files are listed


def test_missing_and_unlisted_files_are_counted(dataset: Path, make_sounds: Callable[..., None]) -> None:
    (dataset / "audio" / "5-9032-A-0.wav").unlink()
    make_sounds(dataset / "audio", "mine.wav", "._1-100032-A-0.wav")
    result = import_esc50(dataset)
    assert (result.num_found, result.num_missing, result.num_unlisted) == (5, 1, 1)
    problems = check_clips(result.manifest.clips).problems
    assert [(problem.id, problem.reason) for problem in problems] == [("5-9032-A-0", "missing")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "a.wav,6,0,dog,True,1,A\n", ["row 2", "'fold' (='6')", "1 to 5", "fix"]),
        (HEADER + "a.wav,0,0,dog,True,1,A\n", ["row 2", "'fold' (='0')", "1 to 5"]),
        (HEADER + "a.wav,1.0,0,dog,True,1,A\n", ["row 2", "'fold' (='1.0')", "whole number"]),
        (HEADER + ROWS[0] + "a.wav,1,50,wolf,True,1,A\n", ["row 3", "'target' (='50')", "0 to 49"]),
        (HEADER + ROWS[0] + "a.wav,1,0,wolf,True,1,A\n", ["row 3", "'category' (='wolf')", "'dog'", "target 0"]),
        (HEADER + ROWS[0] + "a.wav,1,1,dog,True,1,A\n", ["row 3", "'category' (='dog')", "target 0", "not 1"]),
        (HEADER + ROWS[0] + ROWS[0], ["row 3", "'filename' (='1-100032-A-0.wav')", "also that of row 2", "remove"]),
        (HEADER + "a.wav,1,0,,True,1,A\n", ["row 2", "'category' (='')", "empty", "fill it in"]),
        (HEADER + "a.wav,1,0,dog,True,1,A,x\n", ["row 2", "8 cells"]),
        (HEADER.replace("fold", "folds") + ROWS[0], ["column 'fold'", "rename 'folds'"]),
        (HEADER.replace("target", "number") + ROWS[0], ["column 'target'", "use the original file of ESC-50"]),
        (HEADER, ["lists no clip"]),
        ("", ["is empty"]),
        (HEADER + "other.wav,1,0,dog,True,1,A\n", ["no clip of the 1", "'other.wav'", "unpack"]),
    ],
)
def test_wrong_lists_are_named(dataset: Path, text: str, words: list[str]) -> None:
    write_list(dataset, text)
    with pytest.raises(ManifestError) as caught:
        import_esc50(dataset)
    for word in ["esc50.csv", *words]:
        assert word in str(caught.value)


def test_wrong_marks_of_esc10_are_named(dataset: Path) -> None:
    write_list(dataset, HEADER + ROWS[0] + ROWS[1].replace("False", "no"))
    assert import_esc50(dataset).num_found == 2
    with pytest.raises(ManifestError, match=r"row 3: column 'esc10' \(='no'\) must be 'True' or 'False'"):
        import_esc50(dataset, esc10=True)
    write_list(dataset, HEADER + ROWS[1])
    with pytest.raises(ManifestError, match="marks no row as True"):
        import_esc50(dataset, esc10=True)


def test_missing_parts_are_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none' does not exist .* holds ESC-50"):
        import_esc50(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match=r"esc50\.csv' does not exist; give the folder that ESC-50 unpacks to"):
        import_esc50(tmp_path / "empty")
    (dataset / "audio").rename(dataset / "sounds")
    with pytest.raises(ManifestError, match=r"audio' does not exist .*unpack"):
        import_esc50(dataset)


def test_through_the_command_line(dataset: Path, tmp_path: Path, manifest_command: Callable[..., str]) -> None:
    printed = manifest_command("esc50", "ESC-50-master", "--out", "lists/esc50.csv", cwd=tmp_path)
    assert "6 clips of 4 classes: 6 with a file, 0 missing" in printed
    assert "Splits: fold1 2, fold2 1, fold5 1, fold3 1, fold4 1" in printed
    assert (
        "Then train: audio-dcls train small_data.yaml --set 'data.manifests=[lists/esc50.csv]' "
        "--set data.labels=lists/esc50_labels.csv --set data.fold=1 --set loss.name=cross_entropy "
        "--set frontend.clip_s=5\n"
    ) in printed
    rows = list(csv.DictReader((tmp_path / "lists" / "esc50.csv").open(newline="")))
    assert rows[1] == {
        "id": "1-100038-A-14",
        "path": "../ESC-50-master/audio/1-100038-A-14.wav",
        "start_s": "",
        "end_s": "",
        "labels": "chirping_birds",
        "split": "fold1",
    }
    labels = LabelSet.from_csv(tmp_path / "lists" / "esc50_labels.csv")
    assert len(load_manifest(tmp_path / "lists" / "esc50.csv", labels).clips) == 6
    checked = manifest_command(
        "check", "lists/esc50.csv", "--labels", "lists/esc50_labels.csv", "--workers", 0, cwd=tmp_path
    )
    assert "100.0%" in checked


def test_json_and_mistakes_through_the_command_line(
    dataset: Path, tmp_path: Path, manifest_command: Callable[..., str]
) -> None:
    arguments = ["esc50", "ESC-50-master", "--esc10", "--out", "a b.csv", "--labels-out", "1.csv", "--json"]
    document = json.loads(manifest_command(*arguments, cwd=tmp_path))
    assert (document["labels"], document["clips"], document["classes"]) == ("1.csv", 3, 2)
    assert document["settings"][:2] == ["data.manifests=[a b.csv]", "data.labels=1.csv"]
    error = manifest_command("esc50", tmp_path, "--out", "x.csv", cwd=tmp_path, code=2)
    assert "esc50.csv' does not exist" in error
    assert not (tmp_path / "x.csv").exists()
