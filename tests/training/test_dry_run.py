"""A dry run prepares the same run as a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_dcls.data.loading.teacher_logits import TeacherWriter
from audio_dcls.errors import ConfigError, ManifestError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.distributed.processes import build_fabric
from audio_dcls.training.dry_run import plan_run
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import RunStarted


def test_the_plan_is_that_of_the_run(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    config = build(TrainConfig, merge(tiny_values, {"loop": {"per_device_batch": 4}}), "test")
    plan = plan_run(config, build_fabric(config.loop))
    study = StudyDir(tmp_path / "study")
    study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    started = next(iter(train_study(config, study, clips)))
    assert isinstance(started, RunStarted)
    assert (len(plan.run.dataset), plan.num_eval_clips) == (started.num_train_clips, started.num_eval_clips) == (24, 12)
    assert (plan.run.num_steps, plan.run.layout, plan.run.num_parameters) == (
        started.num_steps,
        started.layout,
        started.num_parameters,
    )
    assert (plan.num_first_clips, plan.num_first_read) == (4, 4)


def test_a_split_without_clips_is_named(tiny_values: dict[str, Any]) -> None:
    config = build(TrainConfig, merge(tiny_values, {"data": {"eval_splits": ["test"]}}), "test")
    with pytest.raises(ManifestError, match="test"):
        plan_run(config, build_fabric(config.loop))


def test_a_teacher_that_a_training_would_refuse_is_refused(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    teacher = {"distillation": {"file": str(tmp_path / "teacher.h5")}}
    config = build(TrainConfig, merge(tiny_values, teacher), "test")
    with pytest.raises(ConfigError, match=r"teacher\.h5"):
        plan_run(config, build_fabric(config.loop))
    with TeacherWriter(tmp_path / "teacher.h5", 521) as writer:
        writer.write(["x"], np.zeros((1, 521), np.float32))
    with pytest.raises(ConfigError, match="521 classes"):
        plan_run(config, build_fabric(config.loop))
