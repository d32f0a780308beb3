"""Distillation: the loss against torch's, its parts with mixup, and a training on the logits of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from typer.testing import CliRunner

from audio_dcls.data.loading.teacher_logits import TeacherLogits
from audio_dcls.errors import ConfigError
from audio_dcls.models.activation import Activation
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.learning.distillation import Distillation
from audio_dcls.training.learning.losses import binary_cross_entropy, cross_entropy
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import RunStarted, StepDone, TrainEvent
from audio_dcls_cli.main import app

B, C, T, W = 5, 4, 2.5, 0.3
ALONE = torch.arange(B)
KNOWN = torch.tensor([True, True, False, True, False])


def draw() -> tuple[Tensor, Tensor, Tensor]:
    """The student's logits, the teacher's, and distributions as targets."""
    generator = torch.Generator().manual_seed(0)
    student, teacher, targets = (torch.randn(B, C, generator=generator) for _ in range(3))
    return 2 * student, 3 * teacher, targets.softmax(1)


def distillation(activation: Activation, known: Tensor, weight: float = W) -> Distillation:
    rows = torch.where(known, torch.arange(B), -1)
    loss = cross_entropy if activation == "softmax" else binary_cross_entropy
    teacher = TeacherLogits(draw()[1].numpy(), rows.numpy())
    return Distillation(teacher, weight=weight, temperature=T, activation=activation, loss=loss)


def reference(activation: Activation, student: Tensor, teacher: Tensor) -> Tensor:
    """T² times the divergence of each clip, by torch's own functions."""
    if activation == "softmax":
        inputs = (student / T).log_softmax(1), (teacher / T).softmax(1)
        return T**2 * F.kl_div(*inputs, reduction="none").sum(1)
    losses = F.binary_cross_entropy_with_logits(student / T, (teacher / T).sigmoid(), reduction="none")
    return T**2 * losses.mean(1)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_known_clips_learn_from_both_and_others_from_their_labels(activation: Activation) -> None:
    student, teacher, targets = draw()
    distil = distillation(activation, KNOWN)
    label = distil.loss(student, targets, per_clip=True)
    each = torch.where(KNOWN, (1 - W) * label + W * reference(activation, student, teacher), label)
    torch.testing.assert_close(distil(student, targets, ALONE, 1.0, ALONE), each.mean())


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_of_a_mixture_the_teachers_probabilities_are_mixed_alike(activation: Activation) -> None:
    student, teacher, targets = draw()
    lam, partners = 0.7, torch.tensor([3, 1, 0, 4, 2])
    distil = distillation(activation, torch.ones(B, dtype=torch.bool), weight=1.0)
    turned = (teacher / T).softmax(1) if activation == "softmax" else (teacher / T).sigmoid()
    mixed = lam * turned + (1 - lam) * turned[partners]
    as_logits = T * (mixed.log() if activation == "softmax" else mixed.logit())
    found = distil(student, targets, ALONE, lam, partners)
    torch.testing.assert_close(found, reference(activation, student, as_logits).mean())


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_a_mixture_with_an_unknown_clip_learns_by_the_known_ones_share(activation: Activation) -> None:
    student, teacher, targets = draw()
    lam, partners = 0.7, torch.tensor([2, 0, 1, 3, 4])  # 0 with unknown 2; 2 with known 1; 4 with itself, unknown
    distil = distillation(activation, KNOWN)
    label = distil.loss(student, targets, per_clip=True)
    found = torch.stack([distil(student[[i]], targets[[i]], torch.tensor([i]), 1.0, torch.tensor([0])) for i in (1, 3)])
    torch.testing.assert_close(found, ((1 - W) * label + W * reference(activation, student, teacher))[[1, 3]])
    each = distil(student, targets, ALONE, lam, partners) * B
    expected = (1 - lam * W) * label[0] + W * lam * reference(activation, student, teacher)[0]
    one = (teacher[[0, 1]] / T).softmax(1) if activation == "softmax" else (teacher[[0, 1]] / T).sigmoid()
    both = lam * one[1] + (1 - lam) * one[0]
    as_logits = T * (both.log() if activation == "softmax" else both.logit())
    expected = expected + (1 - W) * label[1] + W * reference(activation, student[[1]], as_logits[None])[0]
    crossed = reference(activation, student[[2]], teacher[[1]])[0]
    expected = expected + (1 - 0.3 * W) * label[2] + 0.3 * W * crossed
    expected = expected + (1 - W) * label[3] + W * reference(activation, student, teacher)[3] + label[4]
    torch.testing.assert_close(each, expected)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_gradients(activation: Activation) -> None:
    student, _, targets = draw()
    distil = distillation(activation, KNOWN)
    soft = targets.double()

    def loss(x: Tensor) -> Tensor:
        return distil(x, soft, ALONE, 0.6, torch.tensor([2, 0, 1, 3, 4]))

    x = student.double().requires_grad_()
    loss(x).backward()
    assert x.grad is not None and x.grad.isfinite().all()
    step = 1e-4 * torch.randn(B, C, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        slope = (loss(x + step) - loss(x - step)) / 2
    torch.testing.assert_close((x.grad * step).sum(), slope, rtol=1e-4, atol=1e-9)


def start(values: dict[str, Any], folder: Path, **changes: Any) -> list[TrainEvent]:
    config = build(TrainConfig, merge(values, changes), "test")
    study = StudyDir(folder)
    study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    return list(train_study(config, study, clips))


def test_a_run_teaches_another_through_the_command_line(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    values = merge(tiny_values, {"loop": {"epochs": 1}})
    start(values, tmp_path / "teacher")
    file = tmp_path / "teacher.h5"
    arguments = ["eval", str(tmp_path / "teacher"), "--split", "train", "--save-logits", str(file), "--json"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    with h5py.File(file) as stored:
        ids, logits = [value.decode() for value in stored["ids"][:]], stored["logits"][:]
    assert sorted(ids) == [f"clip{index:02d}" for index in range(24)]
    with h5py.File(file, "w") as stored:
        stored["ids"], stored["logits"] = ids[:18], logits[:18]
    taught = {"file": str(file), "weight": 0.9, "temperature": 2.0}
    events = start(values, tmp_path / "student", distillation=taught)
    started = events[0]
    assert isinstance(started, RunStarted) and started.teacher_coverage == 0.75
    losses = [event.loss for event in events if isinstance(event, StepDone)]
    assert len(losses) == 3 and all(math.isfinite(loss) for loss in losses)
    without = start(values, tmp_path / "weightless", distillation=taught | {"weight": 0.0})
    plain = [event.loss for event in start(values, tmp_path / "plain") if isinstance(event, StepDone)]
    np.testing.assert_allclose([e.loss for e in without if isinstance(e, StepDone)], plain, rtol=1e-5)
    assert not np.allclose(losses, plain, rtol=1e-3)


def test_a_teacher_of_other_clips_is_refused_at_the_start(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as stored:
        stored["ids"], stored["logits"] = ["elsewhere"], np.zeros((1, 3), dtype=np.float32)
    with pytest.raises(ConfigError, match="has no logits of the 24 training clips, such as 'clip"):
        start(tiny_values, tmp_path / "s", distillation={"file": str(tmp_path / "t.h5")})
