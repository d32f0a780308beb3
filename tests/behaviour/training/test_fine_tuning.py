"""Fine-tuning from a study: weights by folder, a frozen backbone, exact resumption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from audio_dcls.errors import ConfigError, ModelError, PretrainedError
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.checkpoint.tensor_file import load_tensors
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import TrainingClips, load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.initial_model import build_initial_model
from audio_dcls.training.learning.class_prior import class_log_odds
from audio_dcls.training.learning.frozen_backbone import build_freeze
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import CheckpointWritten, RunStarted, TrainEvent

FOREIGN_LABELS = "index,mid,display_name\n0,/t/noise,Noise\n1,/t/low,Low\n2,/t/high,High\n3,/t/siren,Siren\n"


def begin(values: dict[str, Any], folder: Path, **changes: Any) -> tuple[TrainConfig, StudyDir, TrainingClips]:
    config = build(TrainConfig, merge(values, changes), "test")
    study = StudyDir(folder)
    if not (folder / "config.yaml").exists():
        study.create(config)
    return (
        config,
        study,
        prepare_clips(config.data, load_manifests(config.data), study.report_path),
    )


def train(values: dict[str, Any], folder: Path, **changes: Any) -> list[TrainEvent]:
    return list(train_study(*begin(values, folder, **changes)))


def weights(folder: Path, index: int = -1) -> dict[str, torch.Tensor]:
    return load_tensors(StudyDir(folder).run(0).checkpoints()[index] / MODEL_FILE)[0]


def changed(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> set[str]:
    assert first.keys() == second.keys()
    return {name for name in first if not torch.equal(first[name], second[name])}


@pytest.fixture(scope="module")
def values(tiny_values: dict[str, Any]) -> dict[str, Any]:
    """A FastViT, for its batch norms."""
    model = {"name": "fastvit_t8", "overrides": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}}
    return merge(tiny_values, {"model": model, "loop": {"keep_checkpoints": 9}})


@pytest.fixture(scope="module")
def source(values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "study"
    train(values, folder, loop={"epochs": 1})
    return folder


def tuned(source: Path) -> dict[str, Any]:
    return {"model": {"pretrained": True, "pretrained_file": str(source)}}


def test_a_study_or_run_folder_gives_its_newest_weights_and_other_labels_are_matched(
    values: dict[str, Any], source: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text(FOREIGN_LABELS)
    values = merge(values, {**tuned(source / "seed-0"), "data": {"labels": str(tmp_path / "labels.csv")}})
    config, study, clips = begin(values, tmp_path / "s", loop={"prior_bias": True})
    started = next(train_study(config, study, clips))
    assert isinstance(started, RunStarted) and started.pretrained is not None
    assert started.pretrained.kept_classes == ("/t/noise", "/t/low", "/t/high")
    assert started.pretrained.new_classes == ("/t/siren",)
    model = build_initial_model(config, 0, clips, is_begun=False)
    old, bias = weights(source)["backbone.head.fc.bias"], model.backbone.state_dict()["head.fc.bias"]
    assert torch.equal(bias[:3], old[[2, 0, 1]])
    prior = class_log_odds([clip.labels for clip in clips.train], 4)
    np.testing.assert_allclose(bias[3], prior[3], rtol=1e-6)
    assert json.dumps(started.pretrained.to_json_dict())


def test_a_frozen_backbone_stays_bit_for_bit_until_it_is_let_go(
    values: dict[str, Any], source: Path, tmp_path: Path
) -> None:
    values = merge(values, {**tuned(source), "optimizer": {"freeze_backbone_epochs": 2}})
    train(values, tmp_path / "whole")
    start = weights(source)
    classifier = {"backbone.head.fc.weight", "backbone.head.fc.bias"}
    assert changed(start, weights(tmp_path / "whole", 0)) == classifier
    assert changed(start, weights(tmp_path / "whole", 1)) == classifier
    let_go = changed(weights(tmp_path / "whole", 1), weights(tmp_path / "whole", 2))
    assert {name.partition(".")[2].partition(".")[0] for name in let_go} >= {"stem", "stages", "final_conv", "head"}
    assert any(name.endswith("running_mean") for name in let_go)
    for number, event in enumerate(train_study(*begin(values, tmp_path / "cut"))):
        if isinstance(event, CheckpointWritten) and number > 0:
            break
    train(values, tmp_path / "cut")
    assert not changed(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_dropping_gradients_is_the_same_as_not_computing_them(
    values: dict[str, Any], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = merge(values, {**tuned(source), "optimizer": {"freeze_backbone_epochs": 1}, "loop": {"epochs": 2}})
    train(values, tmp_path / "one")

    def as_if_of_two(*arguments: Any, **keywords: Any) -> Any:
        return build_freeze(*arguments, **{**keywords, "num_processes": 2})

    monkeypatch.setattr("audio_dcls.training.loop.build_freeze", as_if_of_two)
    train(values, tmp_path / "two")
    assert not changed(weights(tmp_path / "one"), weights(tmp_path / "two"))


def test_always_holds_the_backbone_for_the_whole_run(values: dict[str, Any], source: Path, tmp_path: Path) -> None:
    values = merge(values, {**tuned(source), "optimizer": {"freeze_backbone_epochs": "always"}})
    train(values, tmp_path / "s", loop={"epochs": 2})
    assert all("head.fc" in name for name in changed(weights(source), weights(tmp_path / "s")))


def test_what_cannot_be_frozen_or_found_is_refused(values: dict[str, Any], source: Path, tmp_path: Path) -> None:
    frozen = {"optimizer": {"freeze_backbone_epochs": 1}}
    with pytest.raises(ConfigError, match=r"must have a trained backbone to freeze"):
        build(TrainConfig, merge(values, frozen), "test")
    with pytest.raises(PretrainedError, match=r"holds no model\.safetensors, and no run with a checkpoint"):
        train(merge(values, tuned(tmp_path)), tmp_path / "nowhere")
    file = tmp_path / "imagenet.safetensors"
    safetensors.torch.save_model(timm.create_model("convnext_atto"), str(file))
    model = {"name": "convnext_atto", "overrides": {}, "pretrained": True, "pretrained_file": str(file)}
    config, _, clips = begin({**values, "model": model}, tmp_path / "s", **frozen)
    with pytest.raises(ModelError, match=r"at random initial values, such as 'stem\.0\.weight'"):
        build_initial_model(config, 0, clips, is_begun=False)
