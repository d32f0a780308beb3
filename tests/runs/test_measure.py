"""One call evaluates studies and runs, as `audio-dcls eval` does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audio_dcls.errors import EvaluationError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.measure import MeasureOptions, evaluate
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study


def test_a_call_measures_what_the_command_does(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    config = build(TrainConfig, merge(tiny_values, {"loop": {"epochs": 1}}), "test")
    study = StudyDir(tmp_path / "study")
    study.create(config)
    list(train_study(config, study, prepare_clips(config.data, load_manifests(config.data), study.report_path)))
    counts: list[int] = []

    @contextlib.contextmanager
    def progress(folder: Path) -> Iterator[Callable[[int], None]]:
        assert folder in (study.path, study.run(0).path)
        yield counts.append

    seen: list[Any] = []
    found = evaluate([study.path, study.run(0).path], MeasureOptions(), progress=progress, on_scores=seen.append)
    assert sum(counts) == 24 and seen == list(found.studies)
    assert found.over_folds() is None
    assert list(found.clip_sets().values()) == [[study.path, study.run(0).path]]
    first, second = found.to_json()
    assert first["summary"] == second["summary"] and first["runs"][0]["per_class_csv"] == str(
        study.run(0).per_class_path
    )
    assert study.run(0).per_class_path.is_file()


def test_splits_and_fitted_thresholds_exclude_each_other() -> None:
    with pytest.raises(EvaluationError, match="`--split`"):
        MeasureOptions(splits=("eval",), fit_thresholds="val")
