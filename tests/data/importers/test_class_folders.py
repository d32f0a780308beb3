"""A folder for each class, with and without splits."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from audio_dcls.data.importers.class_folders import import_class_folders
from audio_dcls.data.importers.dataset_import import DatasetImport
from audio_dcls.errors import ArgumentError, ManifestError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.settings import build, load_yaml, merge, parse_overrides

NAMES = [f"{name}/{number}.wav" for name in ("dog", "cat") for number in range(10)]


def splits_of(result: DatasetImport) -> dict[str, str]:
    return {clip.id: clip.split for clip in result.manifest.clips}


def test_folders_are_classes_at_any_depth(tmp_path: Path, make_sounds: Callable[..., None]) -> None:
    make_sounds(tmp_path, "dog/a.wav", "dog/x/y/b.FLAC", "cat/c.wav", "loose.wav", ".git/d.wav", "cat/._c.wav")
    make_sounds(tmp_path, "__MACOSX/dog/a.wav")
    (tmp_path / "docs").mkdir()
    result = import_class_folders(tmp_path)
    assert result.manifest.labels.ids == ("cat", "dog")
    assert [(clip.id, clip.labels) for clip in result.manifest.clips] == [
        ("cat/c.wav", (0,)),
        ("dog/a.wav", (1,)),
        ("dog/x/y/b.FLAC", (1,)),
    ]
    assert (result.num_found, result.num_missing, result.num_unlisted) == (3, 0, 1)
    assert result.left_out == ("docs",)


def test_a_share_of_each_class_is_held_out(tmp_path: Path, make_sounds: Callable[..., None]) -> None:
    make_sounds(tmp_path, *NAMES, "owl/0.wav", "bat/0.wav", "bat/1.wav")
    result = import_class_folders(tmp_path, held_out=0.3, seed=1)
    counts = result.manifest.class_counts()
    assert result.manifest.labels.ids == ("bat", "cat", "dog", "owl")
    assert counts["eval"].tolist() == [1, 3, 3, 0]
    assert counts["train"].tolist() == [1, 7, 7, 1]
    assert splits_of(import_class_folders(tmp_path, held_out=0.3, seed=1)) == splits_of(result)
    assert splits_of(import_class_folders(tmp_path, held_out=0.3, seed=2)) != splits_of(result)
    assert import_class_folders(tmp_path).manifest.class_counts()["eval"].tolist() == [1, 2, 2, 0]
    assert import_class_folders(tmp_path, held_out=0).manifest.splits() == {"train": 23}


def test_a_larger_share_holds_the_same_clips_out_and_more(tmp_path: Path, make_sounds: Callable[..., None]) -> None:
    make_sounds(tmp_path, *NAMES)
    held = [
        {name for name, split in splits_of(import_class_folders(tmp_path, held_out=share)).items() if split == "eval"}
        for share in (0.2, 0.5)
    ]
    assert held[0] < held[1]


def test_another_class_leaves_the_others_as_they_were(tmp_path: Path, make_sounds: Callable[..., None]) -> None:
    make_sounds(tmp_path, *NAMES)
    before = splits_of(import_class_folders(tmp_path))
    make_sounds(tmp_path, "ant/0.wav", "ant/1.wav")
    assert before.items() <= splits_of(import_class_folders(tmp_path)).items()


def test_folders_of_splits(tmp_path: Path, make_sounds: Callable[..., None]) -> None:
    make_sounds(tmp_path, "train/dog/a.wav", "train/cat/a.wav", "test/dog/deep/a.wav", "test/loose.wav")
    result = import_class_folders(tmp_path)
    assert result.manifest.splits() == {"test": 1, "train": 2}
    assert result.manifest.labels.ids == ("cat", "dog")
    assert result.num_unlisted == 1
    with pytest.raises(ArgumentError, match=r"`held_out` \(=0.5\) must be left out"):
        import_class_folders(tmp_path, held_out=0.5)
    assert import_class_folders(tmp_path, layout="classes").manifest.labels.ids == ("test", "train")


def test_a_class_may_be_called_train(tmp_path: Path, make_sounds: Callable[..., None]) -> None:
    make_sounds(tmp_path, "train/a.wav", "car/a.wav")
    assert import_class_folders(tmp_path).manifest.labels.ids == ("car", "train")


def test_what_cannot_be_told_or_used_is_named(tmp_path: Path, make_sounds: Callable[..., None]) -> None:
    with pytest.raises(ManifestError, match="none' does not exist"):
        import_class_folders(tmp_path / "none")
    with pytest.raises(ManifestError, match=r"holds no sound of a class, as CLASS/x\.wav \(0 sounds elsewhere"):
        import_class_folders(tmp_path)
    make_sounds(tmp_path / "flat", "train/a.wav", "test/a.wav")
    with pytest.raises(ManifestError, match=r"as SPLIT/CLASS/x\.wav \(2 sounds elsewhere .* layout"):
        import_class_folders(tmp_path / "flat")
    make_sounds(tmp_path / "mixed", "train/dog/a.wav", "test/dog/a.wav", "noise/a.wav")
    with pytest.raises(ManifestError, match=r"\['test', 'train'\], which look like splits, and \['noise'\]"):
        import_class_folders(tmp_path / "mixed")
    make_sounds(tmp_path / "joined", "dog;cat/a.wav")
    with pytest.raises(ManifestError, match=r"joined': label 0 \(='dog;cat'\) must be .* rename it"):
        import_class_folders(tmp_path / "joined")
    for share in (1.0, -0.1, float("nan")):
        with pytest.raises(ArgumentError, match="at least 0 and below 1"):
            import_class_folders(tmp_path, held_out=share)


def test_through_the_command_line(tmp_path: Path, manifest_command: Callable[..., str], make_sounds) -> None:
    make_sounds(tmp_path / "mine", *NAMES)
    printed = manifest_command("folders", "mine", "--out", "mine.csv", "--held-out", 0.5, cwd=tmp_path)
    assert "20 clips of 2 classes: 20 with a file, 0 missing" in printed
    assert printed.splitlines()[1] in ("Splits: train 10, eval 10", "Splits: eval 10, train 10")
    assert "--set data.labels=mine_labels.csv --set loss.name=cross_entropy\n" in printed
    rows = list(csv.DictReader((tmp_path / "mine.csv").open(newline="")))
    assert rows[0]["path"] == "mine/cat/0.wav"
    assert "--held-out" in manifest_command("folders", "--help", cwd=tmp_path)
    error = manifest_command("folders", "mine", "--out", "x.csv", "--held-out", 1, cwd=tmp_path, code=2)
    assert "--held-out (=1.0)" in error


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (["train/dog/a.wav", "test/dog/a.wav"], ["data.eval_splits=[test]"]),
        (
            ["training/dog/a.wav", "test/dog/a.wav", "valid/dog/a.wav"],
            ["data.train_splits=[training]", "data.eval_splits=[valid]"],
        ),
        (["fold1/dog/a.wav", "fold2/dog/a.wav"], ["data.fold=1"]),
        (["train/dog/a.wav", "eval/dog/a.wav"], []),
    ],
)
def test_the_settings_name_the_splits(
    tmp_path: Path,
    manifest_command: Callable[..., str],
    make_sounds: Callable[..., None],
    names: list[str],
    settings: list[str],
) -> None:
    make_sounds(tmp_path / "mine", *names)
    document = json.loads(manifest_command("folders", "mine", "--out", "m.csv", "--json", cwd=tmp_path))
    assert document["settings"][2:-1] == settings


def test_many_clips_are_not_to_be_kept_in_memory(
    tmp_path: Path,
    manifest_command: Callable[..., str],
    make_sounds: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_sounds(tmp_path / "mine", *NAMES)
    arguments = ("folders", "mine", "--out", "m.csv")
    assert "data.cache" not in manifest_command(*arguments, cwd=tmp_path)
    monkeypatch.setattr("audio_dcls_cli.actions.manifest_import.NUM_CACHED_CLIPS", 19)
    assert manifest_command(*arguments, cwd=tmp_path).endswith(" --set data.cache=none\n")


def test_the_settings_printed_build_a_config(
    tmp_path: Path, manifest_command: Callable[..., str], make_sounds: Callable[..., None]
) -> None:
    make_sounds(tmp_path / "mine", *(f"fold{number}/dog/a.wav" for number in (1, 2)))
    document = json.loads(manifest_command("folders", "mine", "--out", "a, b.csv", "--json", cwd=tmp_path))
    config = build(TrainConfig, merge(load_yaml("small_data.yaml"), parse_overrides(document["settings"])), "printed")
    assert config.data.manifests == ("a, b.csv",)
    assert config.data.labels == "a, b_labels.csv"
    assert (config.data.fold, config.loss.name) == (1, "cross_entropy")
