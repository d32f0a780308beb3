"""A study's folder keeps its config, and is never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_dcls.errors import RunError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir


def make_study(path: Path, seeds: tuple[int, ...] = (0,)) -> StudyDir:
    study = StudyDir(path)
    study.create(TrainConfig(seeds=seeds))
    for seed in seeds:
        study.run(seed).write_status(state="running")
    return study


def test_a_study_keeps_its_config_and_is_never_overwritten(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", seeds=(4, 10, 2))
    assert study.config() == TrainConfig(seeds=(4, 10, 2))
    assert [run.seed for run in study.runs()] == [2, 4, 10]
    with pytest.raises(RunError, match="not empty"):
        study.create(TrainConfig())
