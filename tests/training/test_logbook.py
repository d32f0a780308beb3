"""The log of a training, in its files and in the loggers that the config names."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from audio_dcls.errors import ConfigError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.settings import build
from audio_dcls.training.logbook import Logbook


def make(tmp_path: Path, *loggers: str) -> tuple[RunDir, TrainConfig]:
    run_dir = RunDir(tmp_path / "study" / "seed-0")
    run_dir.path.mkdir(parents=True)
    return run_dir, build(TrainConfig, {"name": "logged", "loop": {"loggers": list(loggers)}}, "test")


def write(run_dir: RunDir, config: TrainConfig, first_step: int, losses: dict[int, float], **options: Any) -> None:
    with Logbook(run_dir, config, 0, first_step, **{"is_first": True, **options}) as book:
        for step, loss in losses.items():
            book.record("train", {"loss": loss}, step, step / 10)


def test_a_run_that_goes_on_forgets_the_steps_after_its_checkpoint(tmp_path: Path) -> None:
    run_dir, config = make(tmp_path, "tensorboard")
    write(run_dir, config, 0, {1: 3.0, 2: 2.0, 3: 9.0})
    with (run_dir.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    time.sleep(1.1)  # event files are ordered by the second in their names, and a resumed run never begins within one
    write(run_dir, config, 2, {3: 1.0, 4: math.nan})
    lines = [json.loads(line) for line in (run_dir.path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 3.0), (2, 2.0), (3, 1.0), (4, None)]
    board = EventAccumulator(str(run_dir.tensorboard_folder)).Reload()
    assert [(e.step, e.value) for e in board.Scalars("train/loss")][:3] == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    run_dir, config = make(tmp_path, "tensorboard")
    write(run_dir, config, 0, {1: 3.0}, is_first=False)
    assert not list(run_dir.path.iterdir())


def test_mlflow_gets_the_figures_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    run_dir, config = make(tmp_path, "mlflow")
    write(run_dir, config, 0, {1: 3.0, 2: 2.0})
    write(run_dir, config, 2, {3: 1.0})
    client = mlflow.MlflowClient((tmp_path / "mlruns").as_uri())
    (experiment,) = [e for e in client.search_experiments() if e.name == "logged"]
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_mlflow_without_a_server_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuchscheme://here")
    run_dir, config = make(tmp_path, "mlflow")
    with pytest.raises(ConfigError, match=r"`loop.loggers` names 'mlflow'.*MLFLOW_TRACKING_URI"):
        write(run_dir, config, 0, {1: 3.0})


def test_wandb_gets_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run_dir, config = make(tmp_path, "wandb")
    write(run_dir, config, 0, {1: 3.25, 2: 2.0})
    (record,) = run_dir.path.glob("wandb/offline-run-*/*.wandb")
    deadline_s = time.monotonic() + 30  # its own process writes the file
    while b"3.25" not in record.read_bytes() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert b"train/loss" in record.read_bytes() and b"3.25" in record.read_bytes()


def test_wandb_without_a_key_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def without_key(**_: object) -> None:  # what it raises then; its own state outlives the offline run above
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "init", without_key)
    run_dir, config = make(tmp_path, "wandb")
    with pytest.raises(ConfigError, match=r"`loop.loggers` names 'wandb'.*No API key.*WANDB_MODE=offline"):
        write(run_dir, config, 0, {1: 3.0})


def test_a_logger_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    run_dir, config = make(tmp_path, "wandb")
    with pytest.raises(ConfigError, match=r"`loop.loggers` names 'wandb'.*pip install 'audio-dcls\[wandb\]'"):
        write(run_dir, config, 0, {1: 3.0})
