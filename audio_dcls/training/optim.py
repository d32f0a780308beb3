"""Parameter groups, optimiser and learning-rate schedule (timm's)."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim.lamb import Lamb
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import nn

from audio_dcls.training.config import OptimizerConfig

POSITION_NAMES = ("positions", "spreads")


def parameter_groups(
    model: nn.Module, *, peak_rate: float, weight_decay: float, position_rate_factor: float
) -> list[dict[str, Any]]:
    """Split parameters into decayed, not decayed, and DCLS positions and spreads; shared ones count once.

    Not decayed: whatever is one-dimensional up to axes of size 1 (biases, norms, layer scales, FastViT's (C, 1, 1)
    layer scale among them), positions and spreads.

    Args:
        model: the tagger.
        peak_rate: learning rate of the first two groups.
        weight_decay: of the first group, 0 elsewhere.
        position_rate_factor: learning rate of the last group as a multiple of `peak_rate`.

    Returns:
        Groups with keys `name`, `params`, `lr`, `weight_decay`; empty groups are left out.
    """
    members: dict[str, list[nn.Parameter]] = {"decayed": [], "undecayed": [], "positions": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.rpartition(".")[2] in POSITION_NAMES:
            members["positions"].append(parameter)
        elif parameter.squeeze().ndim <= 1:
            members["undecayed"].append(parameter)
        else:
            members["decayed"].append(parameter)
    rates = {"decayed": peak_rate, "undecayed": peak_rate, "positions": peak_rate * position_rate_factor}
    return [
        {"name": name, "params": params, "lr": rates[name], "weight_decay": weight_decay if name == "decayed" else 0.0}
        for name, params in members.items()
        if params
    ]


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Optimiser over `parameter_groups`."""
    groups = parameter_groups(
        model,
        peak_rate=config.peak_rate,
        weight_decay=config.weight_decay,
        position_rate_factor=config.position_rate_factor,
    )
    if config.name == "lamb":
        return Lamb(groups, lr=config.peak_rate, betas=config.betas, eps=config.eps)
    return torch.optim.AdamW(groups, lr=config.peak_rate, betas=config.betas, eps=config.eps)


def build_schedule(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, *, num_steps: int, steps_per_epoch: int
) -> CosineLRScheduler:
    """Linear warm-up from 0, then half a cosine down to `final_rate`; call `step_update(step)` before each step.

    Args:
        optimizer: its groups' current rates are their peaks.
        config: rates and warm-up.
        num_steps: optimiser steps of the whole run.
        steps_per_epoch: optimiser steps of an epoch.
    """
    warmup_steps = min(round(config.warmup_epochs * steps_per_epoch), num_steps - 1)
    return CosineLRScheduler(
        optimizer,
        t_initial=max(num_steps - warmup_steps, 1),
        lr_min=config.final_rate,
        warmup_t=warmup_steps,
        warmup_lr_init=0.0,
        warmup_prefix=True,
        t_in_epochs=False,
    )
