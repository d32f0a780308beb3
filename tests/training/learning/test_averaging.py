"""Averages of weights against sums computed step by step, including shared tensors."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from audio_dcls.models.checkpoint.folders import LAST_FILE, MODEL_FILE
from audio_dcls.models.checkpoint.tensor_file import load_tensors
from audio_dcls.runs.config import AveragingConfig, TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.interruption import StopRequest
from audio_dcls.training.learning.averaging import WeightAverage
from audio_dcls.training.studies.study import train_study

EXACT = {"rtol": 1e-6, "atol": 1e-7}


class Shared(nn.Module):
    """Two layers with one weight between them, and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.second(self.first(x)))


def train_by_hand(model: nn.Module, average: WeightAverage, num_steps: int) -> list[dict[str, torch.Tensor]]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    for step in range(num_steps):
        model(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update(model, step + 1)
        seen.append(copy.deepcopy(model.state_dict()))
    return seen


def test_the_exponential_average_counts_each_parameter_once() -> None:
    torch.manual_seed(0)
    model = Shared()
    average = WeightAverage(model, AveragingConfig(decay=0.8), steps_per_epoch=5, num_steps=30)
    seen = train_by_hand(model, average, 30)
    expected = seen[0]
    for count, weights in enumerate(seen[1:], start=1):
        decay = min(0.8, (1 + count) / (10 + count))
        expected = {n: decay * expected[n] + (1 - decay) * weights[n] for n in expected}
    found = average.model.state_dict()
    assert found["first.weight"] is not None and average.model.first.weight is average.model.second.weight
    for name, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name], **EXACT)
    assert int(found["norm.num_batches_tracked"]) == 30


@pytest.mark.parametrize("start", [0.0, 0.5, 0.9])
def test_the_plain_average_is_of_the_last_epochs_ends(start: float) -> None:
    torch.manual_seed(0)
    model = Shared()
    average = WeightAverage(model, AveragingConfig(method="swa", start=start), steps_per_epoch=5, num_steps=50)
    seen = train_by_hand(model, average, 50)
    ends = [seen[step - 1] for step in range(5, 51, 5) if step > start * 50]
    assert average.num_averaged == len(ends) == math.ceil((1 - start) * 10)
    for name in ("first.weight", "second.bias", "norm.running_var"):
        expected = torch.stack([weights[name] for weights in ends]).double().mean(0)
        torch.testing.assert_close(average.model.state_dict()[name].double(), expected, **EXACT)


def test_before_the_plain_average_begins_it_is_the_model() -> None:
    model = Shared()
    average = WeightAverage(model, AveragingConfig(method="swa", start=0.8), steps_per_epoch=5, num_steps=50)
    train_by_hand(model, average, 33)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), average.model.parameters(), strict=True))


def run(values: dict[str, Any], folder: Path, stop_at: int | None = None) -> Path:
    config, study, stop = build(TrainConfig, values, "test"), StudyDir(folder), StopRequest()
    if not (folder / "config.yaml").exists():
        study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    for event in train_study(config, study, clips, stop=stop):
        if stop_at is not None and getattr(event, "step", 0) == stop_at:
            stop.name = "SIGTERM"
    return study.run(0).newest_checkpoint()


@pytest.mark.parametrize("method", ["ema", "swa"])
def test_a_stopped_run_keeps_its_average(method: str, tiny_values: dict[str, Any], tmp_path: Path) -> None:
    values = merge(tiny_values, {"averaging": {"method": method, "start": 0.4}, "loop": {"evaluate_every_epochs": 0}})
    whole = run(values, tmp_path / "whole")
    run(values, tmp_path / "stopped", stop_at=7)
    again = run(values, tmp_path / "stopped")
    for name in (MODEL_FILE, LAST_FILE):
        expected, found = load_tensors(whole / name)[0], load_tensors(again / name)[0]
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    model, last = load_tensors(whole / MODEL_FILE)[0], load_tensors(whole / LAST_FILE)[0]
    assert not all(torch.equal(model[key], last[key]) for key in model)
