"""The best checkpoint is chosen only on the validation splits that the user names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audio_dcls.errors import ConfigError, RunError
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.checkpoint.tensor_file import load_tensors
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.measure import MeasureOptions, measure_study
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import Evaluated, RunFinished, TrainEvent


def train(values: dict[str, Any], folder: Path) -> tuple[StudyDir, list[TrainEvent]]:
    config, study = build(TrainConfig, values, "test"), StudyDir(folder)
    study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    return study, list(train_study(config, study, clips))


@pytest.fixture
def with_validation(tiny_values: dict[str, Any], tiny_corpus: Path, tmp_path: Path) -> dict[str, Any]:
    rows = pd.read_csv(tiny_corpus / "manifest.csv", dtype=str, keep_default_na=False)
    rows["path"] = [str(tiny_corpus / path) for path in rows["path"]]
    rows.loc[rows.index[16:24], "split"] = "val"
    rows.to_csv(tmp_path / "manifest.csv", index=False)
    return merge(tiny_values, {"data": {"manifests": [str(tmp_path / "manifest.csv")], "validation_splits": ["val"]}})


def test_the_best_on_validation_is_kept_and_measured_on_request(
    with_validation: dict[str, Any], tmp_path: Path
) -> None:
    study, found = train(merge(with_validation, {"loop": {"epochs": 5}}), tmp_path / "study")
    run = study.run(0)
    watched = [event for event in found if isinstance(event, Evaluated)]
    assert [event.metrics.num_clips for event in watched] == [8] * 5
    best = max(watched, key=lambda event: event.metrics.mean_average_precision)
    info = load_tensors(run.best_folder / MODEL_FILE)[1]
    assert (info["step"], info["metrics"]["mAP"]) == (best.step, best.metrics.mean_average_precision)
    (finished,) = [event for event in found if isinstance(event, RunFinished)]
    assert finished.metrics.num_clips == 12
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["eval"]["mAP"] == finished.metrics.mean_average_precision
    last, picked = measure_study(study, [run]), measure_study(study, [run], MeasureOptions(best=True))
    assert last.runs[0].checkpoint == run.newest_checkpoint() / MODEL_FILE
    assert picked.runs[0].checkpoint == run.best_folder / MODEL_FILE
    assert picked.num_evaluated == last.num_evaluated == 12


def test_without_validation_no_checkpoint_is_picked(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    study, _ = train(merge(tiny_values, {"loop": {"epochs": 1}}), tmp_path / "study")
    assert not study.run(0).best_folder.exists()
    with pytest.raises(RunError, match=r"no best checkpoint.*data.validation_splits"):
        measure_study(study, study.runs(), MeasureOptions(best=True))


def test_the_evaluation_split_cannot_be_the_validation_split(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\['eval'\] are both in `data.eval_splits` and `data.validation_splits`"):
        train(merge(tiny_values, {"data": {"validation_splits": ["eval"]}}), tmp_path / "study")
