"""Fifty steps of optimiser and schedule on the three families, against constructions with torch and timm alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import timm.optim
import torch
from timm.scheduler.scheduler_factory import create_scheduler_v2
from torch import nn

from audio_dcls.dcls import DclsConv2d
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import ModelConfig, build_tagger
from audio_dcls.models.config import DclsConfig
from audio_dcls.runs.config import OptimizerConfig
from audio_dcls.training.learning.optim import build_optimizer, build_schedule

NUM_STEPS, STEPS_PER_EPOCH, WARMUP_EPOCHS = 50, 5, 3
FAMILIES = {
    "convnext_tiny": {"depths": [1, 1, 2, 1], "dims": [8, 8, 16, 16]},
    "convformer_s18": {"depths": [1, 1, 2, 1], "dims": [8, 8, 16, 16]},
    "fastvit_sa24": {"depths": [1, 1, 2, 1], "dims": [8, 16, 32, 64]},
}
EXACT = {"rtol": 1e-5, "atol": 1e-7}
"""Fused and looped kernels round differently, and fifty steps add up."""


def tagger(name: str) -> nn.Module:
    torch.manual_seed(0)
    config = ModelConfig(name=name, overrides=FAMILIES[name], dcls=DclsConfig(kernel_size=(7, 7), kernel_count=4))
    return build_tagger(config, FrontendConfig(), 5)


def groups_by_hand(model: nn.Module, rate: float, decay: float) -> list[dict[str, Any]]:
    """By the kind of module a parameter belongs to: weights of convolutions and linear layers decay, nothing else."""
    decayed, plain, moved, seen = [], [], [], set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            if name in ("positions", "spreads"):
                moved.append(parameter)
            elif name == "weight" and isinstance(module, (nn.Conv2d, nn.Linear, DclsConv2d)):
                decayed.append(parameter)
            else:
                plain.append(parameter)
    return [
        {"params": decayed, "lr": rate, "weight_decay": decay},
        {"params": plain, "lr": rate, "weight_decay": 0.0},
        {"params": moved, "lr": 5 * rate, "weight_decay": 0.0},
    ]


def gradients(model: nn.Module, step: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        # In the parameter's memory layout, as autograd gives it: fused optimisers walk through both side by side.
        yield torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))


def rate_by_hand(step: int, peak: float, final: float) -> float:
    warmup = WARMUP_EPOCHS * STEPS_PER_EPOCH
    if step < warmup:
        return peak * step / warmup
    return final + 0.5 * (peak - final) * (1 + math.cos(math.pi * (step - warmup) / (NUM_STEPS - warmup)))


def run_ours(model: nn.Module, config: OptimizerConfig) -> list[list[float]]:
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, num_steps=NUM_STEPS, steps_per_epoch=STEPS_PER_EPOCH)
    rates = []
    for step in range(NUM_STEPS):
        schedule.step_update(step)
        rates.append(sorted({group["lr"] for group in optimizer.param_groups}))
        for parameter, gradient in zip(model.parameters(), gradients(model, step), strict=True):
            parameter.grad = gradient
        optimizer.step()
    return rates


def run_by_hand(model: nn.Module, optimizer: torch.optim.Optimizer, peak: float, final: float) -> None:
    for step in range(NUM_STEPS):
        for group, factor in zip(optimizer.param_groups, (1, 1, 5), strict=True):
            group["lr"] = rate_by_hand(step, factor * peak, final)
        for parameter, gradient in zip(model.parameters(), gradients(model, step), strict=True):
            parameter.grad = gradient
        optimizer.step()


def assert_same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, expected[name], msg=name, **EXACT)


@pytest.mark.parametrize("name", FAMILIES)
def test_fifty_adamw_steps_are_torchs(name: str) -> None:
    ours, theirs = tagger(name), tagger(name)
    config = OptimizerConfig(peak_rate=4e-3, warmup_epochs=WARMUP_EPOCHS)
    run_ours(ours, config)
    reference = torch.optim.AdamW(
        groups_by_hand(theirs, 4e-3, 0.05), betas=(0.9, 0.999), eps=1e-8, fused=False, foreach=False
    )
    run_by_hand(theirs, reference, 4e-3, 1e-6)
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("name", FAMILIES)
def test_fifty_lamb_steps_are_timms(name: str) -> None:
    ours, theirs = tagger(name), tagger(name)
    config = OptimizerConfig(name="lamb", peak_rate=4e-3, warmup_epochs=WARMUP_EPOCHS, eps=1e-6)
    run_ours(ours, config)
    groups: Any = groups_by_hand(theirs, 4e-3, 0.05)
    reference = timm.optim.create_optimizer_v2(groups, opt="lamb", lr=4e-3, eps=1e-6)
    run_by_hand(theirs, reference, 4e-3, 1e-6)
    assert_same_weights(ours, theirs)


def lamb_step(weight: torch.Tensor, gradient: torch.Tensor, state: dict[str, Any], rate: float, decay: float) -> None:
    """Algorithm 2 of You et al. (2020) for one tensor, in float64; bare tensors without decay are not rescaled."""
    state["step"] += 1
    state["m"] = 0.9 * state["m"] + 0.1 * gradient
    state["v"] = 0.999 * state["v"] + 0.001 * gradient**2
    update = (state["m"] / (1 - 0.9 ** state["step"])) / ((state["v"] / (1 - 0.999 ** state["step"])).sqrt() + 1e-6)
    update = update + decay * weight
    ratio = weight.norm() / update.norm() if decay and weight.norm() > 0 and update.norm() > 0 else 1.0
    weight -= rate * ratio * update


def test_fifty_lamb_steps_are_the_papers_algorithm() -> None:
    ours, theirs = tagger("convformer_s18").double(), tagger("convformer_s18").double()
    run_ours(ours, OptimizerConfig(name="lamb", peak_rate=4e-3, warmup_epochs=WARMUP_EPOCHS, eps=1e-6))
    decays = {id(p): (g["weight_decay"], g["lr"] / 4e-3)
              for g in groups_by_hand(theirs, 4e-3, 0.05) for p in g["params"]}  # fmt: skip
    states = {id(p): {"step": 0, "m": 0.0, "v": 0.0} for p in theirs.parameters()}
    with torch.no_grad():
        for step in range(NUM_STEPS):
            drawn = [g.double() for g in gradients(theirs, step)]
            norm = torch.stack([g.norm() for g in drawn]).norm()
            for parameter, gradient in zip(theirs.parameters(), drawn, strict=True):
                decay, factor = decays[id(parameter)]
                rate = rate_by_hand(step, factor * 4e-3, 1e-6)
                lamb_step(parameter, gradient / norm.clamp(min=1.0), states[id(parameter)], rate, decay)
    assert_same_weights(ours, theirs)


def test_fifty_rates_are_timms() -> None:
    ours = tagger("convnext_tiny")
    rates = run_ours(ours, OptimizerConfig(peak_rate=4e-3, warmup_epochs=WARMUP_EPOCHS))
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=4e-3)
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=NUM_STEPS // STEPS_PER_EPOCH - WARMUP_EPOCHS,
        min_lr=1e-6,
        warmup_epochs=WARMUP_EPOCHS,
        warmup_lr=0.0,
        warmup_prefix=True,
        step_on_epochs=False,
        updates_per_epoch=STEPS_PER_EPOCH,
    )
    assert schedule is not None
    for step, (low, high) in enumerate(rates[1:], start=1):
        schedule.step_update(step)
        assert low == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        assert low == pytest.approx(rate_by_hand(step, 4e-3, 1e-6), rel=1e-9)
        assert high == pytest.approx(rate_by_hand(step, 2e-2, 1e-6), rel=1e-9)
