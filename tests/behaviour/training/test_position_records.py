"""A run records the positions of its elements after every epoch; a resumed run has the same records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from audio_dcls.dcls.history_files import read_history
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import StepDone


def train(values: dict[str, Any], folder: Path, stop_after: int | None = None) -> StudyDir:
    config, study = build(TrainConfig, values, "test"), StudyDir(folder)
    if not study.path.exists():
        study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    events = train_study(config, study, clips)
    for event in events:
        if isinstance(event, StepDone) and event.step == stop_after:
            events.close()
            break
    return study


def test_records_are_the_elements_after_each_epoch(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    study = train(tiny_values, tmp_path / "whole")
    run = study.run(0)
    history = read_history(run.positions_folder)
    assert history.steps == [0, 3, 6, 9]
    model = load_checkpoint(run.newest_checkpoint() / MODEL_FILE).model
    parameters = dict(model.named_parameters())
    for name in history.names:
        last = history.positions(name)[-1]
        found = [value for key, value in parameters.items() if key.removesuffix(".positions").endswith(name)]
        assert len(found) == 1
        assert torch.equal(last.float(), found[0].detach().float())
        assert not torch.equal(history.positions(name)[0], last)


def test_a_resumed_run_has_the_same_records(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    values = merge(tiny_values, {"loop": {"checkpoint_every_steps": 2}})
    whole = train(values, tmp_path / "whole").run(0)
    train(values, tmp_path / "cut", stop_after=7)
    cut = train(values, tmp_path / "cut").run(0)
    ours, theirs = read_history(cut.positions_folder), read_history(whole.positions_folder)
    assert ours.steps == theirs.steps
    for name in theirs.names:
        assert torch.equal(ours.positions(name), theirs.positions(name))


def test_a_model_without_dcls_keeps_none(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    study = train(merge(tiny_values, {"model": {"dcls": None}, "loop": {"epochs": 1}}), tmp_path / "plain")
    assert not study.run(0).positions_folder.exists()
