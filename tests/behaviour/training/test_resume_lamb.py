"""A LAMB run that resumes from a checkpoint ends like an uninterrupted one: LAMB counts its steps per group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.checkpoint.tensor_file import load_tensors
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import CheckpointWritten


def test_lamb_goes_on_with_the_same_bits(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    config = build(TrainConfig, merge(tiny_values, {"optimizer": {"name": "lamb"}}), "test")
    ends = []
    for name, is_cut in (("whole", False), ("cut", True)):
        study = StudyDir(tmp_path / name)
        study.create(config)
        clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
        for event in train_study(config, study, clips):
            if is_cut and isinstance(event, CheckpointWritten):
                break
        list(train_study(config, study, clips))
        ends.append(load_tensors(study.run(0).newest_checkpoint() / MODEL_FILE)[0])
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
