"""From a trained 7x7 run to a DCLS run that keeps its kernels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_dcls.errors import ConfigError
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.find_model import find_model
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.distributed.processes import build_fabric
from audio_dcls.training.loop import Trainer
from audio_dcls.training.train_events import RunStarted


def trainer(values: dict[str, Any], folder: Path, **changes: Any) -> Trainer:
    config, study = build(TrainConfig, merge(values, changes), "test"), StudyDir(folder)
    study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    return Trainer(config, 0, clips, study.run(0), build_fabric(config.loop))


def test_a_plain_run_is_carried_on_with_dcls(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    list(trainer(tiny_values, tmp_path / "plain", model={"dcls": None}, loop={"epochs": 1}).run())
    twin = load_checkpoint(find_model(tmp_path / "plain")).model
    source = {"pretrained": True, "pretrained_file": str(find_model(tmp_path / "plain").parent)}
    dcls = {"kernel_size": [9, 9], "kernel_count": 49, "transfer": "fit"}
    swapped = trainer(
        tiny_values, tmp_path / "dcls", model={**source, "dcls": dcls}, loop={"epochs": 1, "prior_bias": True}
    )
    torch.testing.assert_close(  # the bias that was trained, not the one of the class frequencies
        swapped.raw_model.backbone.get_submodule("head.fc").bias, twin.backbone.get_submodule("head.fc").bias
    )
    clips = torch.randn(2, 41_600, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = twin(clips), swapped.raw_model.eval()(clips)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    started = next(events := swapped.run())
    assert isinstance(started, RunStarted) and started.pretrained is not None and started.pretrained.fitted
    list(events)
    report = json.loads((tmp_path / "dcls/seed-0/pretrained.json").read_text())
    assert max(report["fitted"].values()) < 1e-3 and not report["random"]
    assert load_checkpoint(find_model(tmp_path / "dcls")).model.swap_plan is not None


def test_fitting_without_trained_kernels_is_refused(tiny_values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"transfer.*pretrained=true"):
        build(TrainConfig, merge(tiny_values, {"model": {"dcls": {"transfer": "fit"}}}), "test")
