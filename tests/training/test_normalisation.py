"""If mean and standard deviation do not fit the clips, there is one warning, and the training continues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import TrainingClips, load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.normalisation import check_normalisation
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import NormalisationMismatch, RunFinished, RunStarted, TrainEvent
from audio_dcls_cli.screen.progress import show_events


def begin(values: dict[str, Any], folder: Path, **frontend: float) -> tuple[TrainConfig, StudyDir, TrainingClips]:
    config = build(TrainConfig, merge(values, {"frontend": frontend, "loop": {"epochs": 1}}), "test")
    study = StudyDir(folder)
    study.create(config)
    return (
        config,
        study,
        prepare_clips(config.data, load_manifests(config.data), study.report_path),
    )


def train(values: dict[str, Any], folder: Path, **frontend: float) -> list[TrainEvent]:
    return list(train_study(*begin(values, folder, **frontend)))


def test_is_said_once_and_stops_nothing(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    events = train({**tiny_values, "seeds": [0, 1]}, tmp_path / "off", mean_db=40.0)
    found = [event for event in events if isinstance(event, NormalisationMismatch)]
    assert len(found) == 1 and isinstance(events[0], RunStarted) and events[1] is found[0]
    assert sum(isinstance(event, RunFinished) for event in events) == 2
    assert found[0].stats.num_clips == 24 and found[0].shift < -0.5
    values = {"mean_db": found[0].stats.mean_db, "std_db": found[0].stats.std_db}
    events = train(tiny_values, tmp_path / "measured", **values)
    assert not any(isinstance(event, NormalisationMismatch) for event in events)


def test_small_differences_are_not_worth_a_word(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    config, _, clips = begin(tiny_values, tmp_path / "off", mean_db=1000.0)
    far_off = check_normalisation(config, clips)
    assert far_off is not None
    mean_db, std_db = far_off.stats.mean_db, far_off.stats.std_db
    for mean_step, factor, is_far in (
        (0.45, 1.0, False),
        (-0.45, 1.0, False),
        (0.55, 1.0, True),
        (-0.55, 1.0, True),
        (0.0, 1.45, False),
        (0.0, 1 / 1.45, False),
        (0.0, 1.55, True),
        (0.0, 1 / 1.55, True),
    ):
        changed = {"std_db": std_db / factor, "mean_db": mean_db - mean_step * std_db / factor}
        changed_config = config.model_copy(update={"frontend": config.frontend.model_copy(update=changed)})
        assert (check_normalisation(changed_config, clips) is not None) is is_far, (mean_step, factor)


def test_the_command_line_says_what_to_do(
    tiny_values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, study, clips = begin(tiny_values, tmp_path / "off", mean_db=40.0)
    show_events((event for event in [check_normalisation(config, clips)] if event is not None), study)
    text = " ".join(capsys.readouterr().out.split())
    for words in ("24 training clips", "(=40)", "limits are ±0.5 and a factor of 1.5", "manifest frontend-stats"):
        assert words in text
