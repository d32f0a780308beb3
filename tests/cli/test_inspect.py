"""`audio-dcls inspect`: a whole report of a study in one command, single chapters, and mistakes in one line."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from audio_dcls.inspection.report.chapters import CHAPTERS
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study


def train(values: dict[str, Any], folder: Path) -> None:
    config, study = build(TrainConfig, values, "test"), StudyDir(folder)
    study.create(config)
    for _ in train_study(config, study, prepare_clips(config.data, load_manifests(config.data), study.report_path)):
        pass


@pytest.fixture(scope="module")
def trained(tiny_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of two seeds with DCLS, runs/ours, and its twin without, runs/plain."""
    folder = tmp_path_factory.mktemp("inspect")
    values = merge(tiny_values, {"seeds": [0, 1], "loop": {"epochs": 4}})
    train(merge(values, {"model": {"dcls": None}}), folder / "runs" / "plain")
    train(values, folder / "runs" / "ours")
    return folder


@pytest.fixture
def inspect(trained: Path, command_line: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(trained)

    def run(*arguments: object, **options: Any) -> Any:
        return command_line("inspect", *arguments, **options)

    run.refuse = lambda *arguments: command_line.refuse("inspect", *arguments)  # type: ignore[attr-defined]
    return run


def test_the_whole_report_of_a_study(inspect: Any, tmp_path: Path) -> None:
    text = inspect("runs/ours", "--against", "runs/plain", "--out", tmp_path, "--num-clips", 4).stdout
    assert "convnext_atto with DCLS, seed 0" in text
    page = (tmp_path / "report.html").read_text()
    assert set(re.findall(r'<section id="([^"]+)"', page)) == set(CHAPTERS)
    assert 'class="missing"' not in page
    assert page.count("<audio") >= 3
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # needs no other file
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn == {path.stem for path in tmp_path.glob("*.pdf")}
    assert drawn >= {
        *("positions", "position_history", "spreads", "speed", "brownian", "kernel_energy", "effective_field"),
        *("saliency_1", "precision_by_frequency", "calibration", "confused_pairs", "co_occurrence"),
        *("compare", "time", "construction"),
    }
    with (tmp_path / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == {"Low", "High", "Noise"}
    assert list(rows[0])[2:4] == ["ours", "plain"]
    with (tmp_path / "receptive_field.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert int(last["frames"]) == int(last["7x7_frames"])  # the tiny study's kernels are 7 x 7 too


def test_one_chapter_of_the_latest_run(inspect: Any, tmp_path: Path) -> None:
    found = json.loads(inspect("positions", "--out", tmp_path, "--json").stdout)
    assert {Path(file).name for file in found["files"]} >= {"positions.png", "positions.pdf", "positions.csv"}
    assert {path.name for path in tmp_path.glob("*.png")} == {"positions.png", "position_history.png", "spreads.png"}


def test_a_model_without_dcls_has_the_chapters_that_need_none(inspect: Any, tmp_path: Path) -> None:
    inspect("runs/plain", "--out", tmp_path, "--num-clips", 2)
    page = (tmp_path / "report.html").read_text()
    assert page.count('class="missing"') == 4  # positions, speed, kernels; and nothing to compare with
    assert (tmp_path / "effective_field.png").is_file()


def test_a_checkpoint_alone_with_named_sounds(inspect: Any, trained: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    newest = StudyDir(trained / "runs" / "ours").run(0).newest_checkpoint() / "model.safetensors"
    alone = tmp_path / "model.safetensors"
    shutil.copy(newest, alone)
    sound = tiny_corpus / "clip25.wav"
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    options = ["--clips", bad, "--clips", sound, "--out", tmp_path / "out"]
    assert "bad.wav" in inspect(alone, "receptive-field", "saliency", *options).stderr
    with (tmp_path / "out" / "saliency_1.csv").open() as file:
        assert {row["clip"] for row in csv.DictReader(file)} == {"clip25.wav"}


def test_mistakes_are_one_line(inspect: Any, trained: Path, tmp_path: Path) -> None:
    assert "'position' is not a chapter" in inspect.refuse("runs/ours", "position").replace("(=", "").replace(")", "")
    assert "does not exist" in inspect.refuse("runs/none")
    assert "name one by --against" in inspect.refuse("runs/ours", "compare", "--out", tmp_path)
    assert "no DCLS layer" in inspect.refuse("runs/plain", "positions", "--out", tmp_path)
    assert "does not exist" in inspect.refuse("runs/ours", "saliency", "--clips", "none.wav", "--out", tmp_path)
    assert "compared with itself" in inspect.refuse("runs/ours", "compare", "--against", "runs/ours")
    assert "no DCLS layer" in inspect.refuse("runs/plain", "speed", "--out", tmp_path)
    (tmp_path / "file").write_text("x")
    assert "each sound needs its own --clips" in inspect.refuse("runs/ours", tmp_path / "file")
    assert "file" in inspect.refuse("runs/ours", "positions", "--out", tmp_path / "file")
