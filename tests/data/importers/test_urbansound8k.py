"""UrbanSound8K from the files it ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.importers.urbansound8k import import_urbansound8k
from audio_dcls.errors import ManifestError

HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
ROWS = [
    "100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark\n",
    "100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing\n",
    "101848-9-0-0.wav,101848,0.0,4.0,2,10,9,street_music\n",
]


@pytest.fixture
def dataset(tmp_path: Path, make_sounds: Callable[..., None]) -> Path:
    folder = tmp_path / "UrbanSound8K"
    make_sounds(folder / "audio", "fold5/100032-3-0-0.wav", "fold5/100263-2-0-117.wav", "fold10/101848-9-0-0.wav")
    write_list(folder, HEADER + "".join(ROWS))
    return folder


def write_list(folder: Path, text: str) -> None:
    (folder / "metadata").mkdir(exist_ok=True)
    (folder / "metadata" / "UrbanSound8K.csv").write_text(text)


def test_a_clip_is_the_whole_of_its_file_in_the_folder_of_its_fold(dataset: Path) -> None:
    result = import_urbansound8k(dataset)
    assert result.manifest.labels.ids == ("children_playing", "dog_bark", "street_music")
    assert result.manifest.splits() == {"fold5": 2, "fold10": 1}
    second = result.manifest.clips[1]
    assert second.path == dataset / "audio" / "fold5" / "100263-2-0-117.wav"
    assert (second.start_s, second.end_s) == (None, None)  # 58.5 s is a place in a recording that is not there
    assert len(check_clips(result.manifest.clips).usable) == 3


def test_files_in_the_wrong_fold_are_missing_and_unlisted(dataset: Path) -> None:
    (dataset / "audio" / "fold5" / "100032-3-0-0.wav").rename(dataset / "audio" / "fold10" / "100032-3-0-0.wav")
    result = import_urbansound8k(dataset)
    assert (result.num_found, result.num_missing, result.num_unlisted) == (2, 1, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + ROWS[0].replace(",5,3,", ",11,3,"), ["row 2", "'fold' (='11')", "1 to 10"]),
        (HEADER + ROWS[0].replace(",5,3,", ",5,10,"), ["row 2", "'classID' (='10')", "0 to 9"]),
        (
            HEADER + ROWS[0] + ROWS[1].replace(",5,2,", ",5,3,"),
            ["row 3", "'class' (='children_playing')", "'dog_bark'"],
        ),
        (HEADER.replace("slice_file_name", "file") + ROWS[0], ["column 'slice_file_name'", "'file,fsID"]),
        (HEADER + ROWS[0].replace(",5,3,", ",7,3,"), ["fold7' does not exist", "unpack"]),
    ],
)
def test_wrong_lists_are_named(dataset: Path, text: str, words: list[str]) -> None:
    write_list(dataset, text)
    with pytest.raises(ManifestError) as caught:
        import_urbansound8k(dataset)
    for word in ["UrbanSound8K.csv", *words]:
        assert word in str(caught.value)


def test_a_missing_list_is_named(dataset: Path) -> None:
    (dataset / "metadata" / "UrbanSound8K.csv").unlink()
    with pytest.raises(ManifestError, match=r"UrbanSound8K\.csv' does not exist; give the folder"):
        import_urbansound8k(dataset)


def test_through_the_command_line(dataset: Path, tmp_path: Path, manifest_command: Callable[..., str]) -> None:
    printed = manifest_command("urbansound8k", "UrbanSound8K", "--out", "us8k.csv", cwd=tmp_path)
    assert "3 clips of 3 classes: 3 with a file, 0 missing" in printed
    assert "--set data.fold=1 --set loss.name=cross_entropy --set frontend.clip_s=4" in printed
    assert (tmp_path / "us8k_labels.csv").read_text().splitlines()[1] == '0,children_playing,"children playing"'
    error = manifest_command("urbansound8k", "none", "--out", "x.csv", cwd=tmp_path, code=2)
    assert "'none' does not exist" in error
