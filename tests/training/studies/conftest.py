"""A study of two cases on the tiny corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.training.studies.case_study import CaseStudyDir
from audio_dcls.training.studies.study_config import StudyPlan


@pytest.fixture
def study_file(tiny_values: dict[str, Any], tmp_path: Path) -> Path:
    """Two cases of the tiny config, without DCLS and with it, on two seeds."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_values))
    return write_study(tmp_path, plain={"set": {"model": {"dcls": None}}}, swapped={"baseline": "plain"})


def write_study(folder: Path, **cases: dict[str, Any]) -> Path:
    document = {
        "name": "duel",
        "seeds": [0, 1],
        "set": {"loop": {"epochs": 1}},
        "cases": {name: {"config": "tiny.yaml", **case} for name, case in cases.items()},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def prepared(plan: StudyPlan, study: CaseStudyDir) -> Any:
    study.create(plan)
    data = plan.shared.data
    clips = prepare_clips(data, load_manifests(data), study.report_path)
    study.write_labels(clips.labels)
    return clips
