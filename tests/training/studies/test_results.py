"""The table of a study, from the status files of its runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audio_dcls.errors import RunError
from audio_dcls.labels import LabelSet
from audio_dcls.training.studies.case_study import CaseStudyDir
from audio_dcls.training.studies.results import study_table
from audio_dcls.training.studies.study_config import load_study


def test_a_damaged_status_is_named(study_file: Path, tmp_path: Path) -> None:
    plan, study = load_study(study_file), CaseStudyDir(tmp_path / "out")
    study.create(plan)
    with pytest.raises(RunError, match=r"no run of study.*was started"):
        study_table(study)
    study.write_labels(LabelSet.from_csv(plan.shared.data.labels))
    for text in ("{", json.dumps({"state": "done"}), json.dumps({"state": "done", "last_evaluation": None})):
        study.run("plain", 1).path.mkdir(exist_ok=True)
        (study.run("plain", 1).path / "status.json").write_text(text)
        with pytest.raises(RunError, match=r"seed-1/status\.json.*--only case=plain,seed=1"):
            study_table(study)
