"""Paths that mean a study, a run or a model, and the latest study."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from audio_dcls.errors import CheckpointError, RunError
from audio_dcls.models.checkpoint.folders import MODEL_FILE, STATE_FILE
from audio_dcls.models.find_model import find_model
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.find_run import expand_cases, find_runs, latest_study
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.study_dir import StudyDir


def write_checkpoint(run: RunDir, step: int, keep: int = 2) -> Path:
    folder = run.begin_checkpoint(step)
    for name in (MODEL_FILE, STATE_FILE):
        (folder / name).write_bytes(b"x")
    return run.finish_checkpoint(folder, keep=keep)


def make_study(path: Path, seeds: tuple[int, ...] = (0,)) -> StudyDir:
    study = StudyDir(path)
    study.create(TrainConfig(seeds=seeds))
    for seed in seeds:
        study.run(seed).write_status(state="running")
    return study


def test_models_are_found_from_study_run_checkpoint_and_file(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", seeds=(0, 1))
    checkpoint = write_checkpoint(study.run(1), 5)
    model = checkpoint / MODEL_FILE
    for place in (study.path, study.run(1).path, checkpoint, model):
        assert find_model(place) == model
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        find_model(study.run(0).path)
    with pytest.raises(CheckpointError, match="does not exist"):
        find_model(tmp_path / "nothing")
    with pytest.raises(RunError, match="neither"):
        find_runs(tmp_path)


def test_the_latest_study_is_the_one_written_to_last(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="audio-dcls train"):
        latest_study(tmp_path)
    for age_s, name in ((100, "new"), (1000, "old")):
        study = make_study(tmp_path / name)
        write_checkpoint(study.run(0), 1)
        then = time.time() - age_s
        os.utime(study.run(0).path / "status.json", (then, then))
    make_study(tmp_path / "newest-but-untrained")
    assert latest_study(tmp_path).path.name == "new"


def test_a_study_of_cases_stands_for_its_trained_cases(tmp_path: Path) -> None:
    folder = tmp_path / "duel"
    plain, swapped, begun = (make_study(folder / name) for name in ("plain", "swapped", "untrained"))
    (folder / "study.yaml").write_text("cases: {untrained: {}, swapped: {}, plain: {}, begun: {}}\n")
    for study in (plain, swapped):
        write_checkpoint(study.run(0), 1)
    assert expand_cases(folder) == [swapped.path, plain.path]
    assert expand_cases(begun.path) == [begun.path]
    assert latest_study(tmp_path).path in (plain.path, swapped.path)
    with pytest.raises(CheckpointError, match=r"several cases; name one of them: \S*swapped, \S*plain"):
        find_model(folder)


def test_a_study_of_cases_without_a_run_says_how_to_begin(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: duel\n")
    with pytest.raises(RunError, match="audio-dcls study --resume"):
        expand_cases(tmp_path)
