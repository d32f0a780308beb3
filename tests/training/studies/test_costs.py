"""Parameters, multiplications and speed of the cases of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_dcls.errors import ArgumentError
from audio_dcls.evaluation.study_table import Speed
from audio_dcls.training.studies.costs import SpeedSettings, count_costs, measure_speed
from audio_dcls.training.studies.study_config import load_study


def test_costs_are_those_of_one_clip(study_file: Path) -> None:
    plan = load_study(study_file)
    plain, swapped = (count_costs(case.config, 3) for case in plan.cases.values())
    assert plain[1] == swapped[1] > 1e5  # 7x7 dense taps both: the same multiplications, of fewer parameters
    assert swapped[0] < plain[0]


def test_speed_is_of_every_case(study_file: Path) -> None:
    plan = load_study(study_file)
    speeds, machine = measure_speed(plan, 3, SpeedSettings(batch=2, num_rounds=1, device="cpu"))
    assert list(speeds) == ["plain", "swapped"]
    assert all(isinstance(speed, Speed) and min(speed.inference, speed.train) > 0 for speed in speeds.values())
    assert machine["batch"] == 2
    with pytest.raises(ArgumentError, match="num_rounds"):
        SpeedSettings(num_rounds=0)
    with pytest.raises(ArgumentError, match="device"):
        SpeedSettings(device="tpu")
