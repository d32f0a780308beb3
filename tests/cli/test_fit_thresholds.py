"""Thresholds fitted on a validation split are stored in the checkpoint, and nothing else in it changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audio_dcls.errors import EvaluationError
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.measure import MeasureOptions, measure_study
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study


@pytest.fixture(scope="module")
def study(tiny_values: dict[str, Any], tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """One seed, trained on half of the training clips; the other half is the split `val`."""
    folder = tmp_path_factory.mktemp("thresholds")
    header, *rows = (tiny_corpus / "manifest.csv").read_text().splitlines()
    lines = [header]
    for number, row in enumerate(rows):
        clip_id, path, rest = row.split(",", 2)
        rest = rest.replace(",train", ",val") if number % 2 else rest
        lines.append(f"{clip_id},{tiny_corpus / path},{rest}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    changes = {"data": {"manifests": [str(folder / "manifest.csv")]}, "loop": {"epochs": 2}}
    config = build(TrainConfig, merge(tiny_values, changes), "test")
    study = StudyDir(folder / "study")
    study.create(config)
    list(train_study(config, study, prepare_clips(config.data, load_manifests(config.data), folder / "clips.csv")))
    return study


def test_thresholds_are_stored_with_what_they_were_fitted_on(study: StudyDir) -> None:
    before = measure_study(study, [study.run(0)])
    old = load_checkpoint(before.runs[0].checkpoint)
    scores = measure_study(study, [study.run(0)], MeasureOptions(fit_thresholds="val"))
    (run,) = scores.runs
    assert run.thresholds is not None and run.metrics.num_clips == 12
    new = load_checkpoint(run.checkpoint)
    assert old.thresholds is None and new.thresholds is not None
    np.testing.assert_array_equal(new.thresholds, run.thresholds.values)
    assert new.info["thresholds"]["split"] == "val"
    assert new.info["thresholds"]["clip_id_hash"] == run.metrics.clip_id_hash != before.runs[0].metrics.clip_id_hash
    for name, tensor in old.model.state_dict().items():
        assert torch.equal(tensor, new.model.state_dict()[name]), name
    assert measure_study(study, [study.run(0)]).runs[0].metrics.scores == before.runs[0].metrics.scores


def test_a_split_that_was_trained_on_is_refused(study: StudyDir) -> None:
    with pytest.raises(EvaluationError, match=r"\(='train'\) is a split that .* was trained on.*\['eval', 'val'\]"):
        measure_study(study, [study.run(0)], MeasureOptions(fit_thresholds="train"))


def test_the_command_says_what_they_are_worth(study: StudyDir, command_line: Any) -> None:
    printed = json.loads(command_line("eval", study.path, "--fit-thresholds", "val", "--json").stdout)
    fitted = printed["runs"][0]["thresholds"]
    assert 0 < fitted["pooled"] < 1 and 0 < fitted["mean_f1"] <= 1
    text = command_line("eval", study.path, "--fit-thresholds", "val").stdout
    assert (
        f"mean F1 {fitted['mean_f1']:.4f}" in text
        and f"{fitted['num_classes_fitted']} of 3 classes have their own" in text
    )
    refusal = command_line.refuse("eval", study.path, "--fit-thresholds", "val", "--split", "eval")
    assert "`--split` (='eval') must be left out" in refusal
    assert "'nowhere'" in command_line.refuse("eval", study.path, "--fit-thresholds", "nowhere")
