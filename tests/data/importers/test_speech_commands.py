"""Speech Commands from the files it ships."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.importers.speech_commands import COMMANDS, import_speech_commands
from audio_dcls.errors import ManifestError

VALIDATION = "cat/0a7c2a8d_nohash_0.wav\nyes/0a7c2a8d_nohash_1.wav\n"
TESTING = "yes/01d22d03_nohash_0.wav\n"


@pytest.fixture
def dataset(tmp_path: Path, make_sounds: Callable[..., None]) -> Path:
    folder = tmp_path / "speech_commands"
    train = [f"{word}/1bb574f9_nohash_0.wav" for word in ("cat", *COMMANDS)]
    make_sounds(folder, *train, *VALIDATION.split(), *TESTING.split(), "_background_noise_/pink_noise.wav")
    (folder / "_background_noise_" / "README.md").write_text("noise")
    (folder / "validation_list.txt").write_text(VALIDATION)
    (folder / "testing_list.txt").write_text(TESTING)
    return folder


def test_lists_make_the_splits_and_folders_the_classes(dataset: Path) -> None:
    result = import_speech_commands(dataset)
    assert result.manifest.labels.ids == tuple(sorted(("cat", *COMMANDS)))
    assert result.manifest.splits() == {"val": 2, "train": 11, "eval": 1}
    assert (result.num_found, result.num_missing, result.num_unlisted) == (14, 0, 0)
    assert result.left_out == ("_background_noise_",)
    by_id = {clip.id: clip for clip in result.manifest.clips}
    assert by_id["yes/01d22d03_nohash_0"].split == "eval"
    assert by_id["cat/0a7c2a8d_nohash_0"].split == "val"
    assert [result.manifest.labels.ids[i] for i in by_id["up/1bb574f9_nohash_0"].labels] == ["up"]
    assert len(check_clips(result.manifest.clips).usable) == 14


def test_ten_commands_and_unknown(dataset: Path) -> None:
    result = import_speech_commands(dataset, words="commands")
    assert result.manifest.labels.ids == (*COMMANDS, "unknown")
    classes = {clip.id.split("/")[0]: clip.labels for clip in result.manifest.clips}
    assert classes["yes"] == (0,)
    assert classes["cat"] == (10,)
    shutil.rmtree(dataset / "go")
    with pytest.raises(ManifestError, match=r"lacks the folders \['go'\]"):
        import_speech_commands(dataset, words="commands")


def test_a_listed_file_that_is_not_there_keeps_its_row(dataset: Path, make_sounds: Callable[..., None]) -> None:
    (dataset / "yes" / "01d22d03_nohash_0.wav").unlink()
    make_sounds(dataset, "loose.wav")
    result = import_speech_commands(dataset)
    assert (result.num_found, result.num_missing, result.num_unlisted) == (13, 1, 1)
    assert result.manifest.splits()["eval"] == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("dgo/0a7c2a8d_nohash_0.wav\n", ["row 2 (='dgo/0a7c2a8d_nohash_0.wav')", "word 'dgo'", "no folder"]),
        ("0a7c2a8d_nohash_0.wav\n", ["row 2 (='0a7c2a8d_nohash_0.wav')", "must be WORD/FILE.wav"]),
        ("cat/0a7c2a8d_nohash_0.wav\n", ["row 2", "row 1 of", "validation_list.txt'; remove", "remove"]),
        ("yes/01d22d03_nohash_0.wav\n", ["row 2", "row 1 of", "testing_list.txt'; remove"]),
    ],
)
def test_wrong_lines_are_named(dataset: Path, lines: str, words: list[str]) -> None:
    (dataset / "testing_list.txt").write_text(TESTING + lines)
    with pytest.raises(ManifestError) as caught:
        import_speech_commands(dataset)
    for word in ["testing_list.txt', ", *words]:
        assert word in str(caught.value)


def test_missing_parts_are_named(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match=r"validation_list\.txt' does not exist; .* as class folders"):
        import_speech_commands(tmp_path / "empty")
    for name in ("validation_list.txt", "testing_list.txt"):
        shutil.copy(dataset / name, tmp_path / "empty")
    with pytest.raises(ManifestError, match="holds no folder of sounds"):
        import_speech_commands(tmp_path / "empty")
    (dataset / "testing_list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match=r"testing_list\.txt' is not a readable text file"):
        import_speech_commands(dataset)


def test_through_the_command_line(dataset: Path, tmp_path: Path, manifest_command: Callable[..., str]) -> None:
    arguments = ["speech-commands", "speech_commands", "--out", "sc.csv"]
    printed = manifest_command(*arguments, "--words", "commands", cwd=tmp_path)
    assert "14 clips of 11 classes: 14 with a file, 0 missing" in printed
    assert "Folders left out, because they are not classes: _background_noise_\n" in printed
    assert "--set 'data.eval_splits=[val]' --set loss.name=cross_entropy --set frontend.clip_s=1" in printed
    (dataset / "testing_list.txt").unlink()
    assert "testing_list.txt' does not exist" in manifest_command(*arguments, cwd=tmp_path, code=2)
