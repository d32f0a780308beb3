"""Optimiser and learning-rate schedule (timm's)."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim.lamb import Lamb
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import nn

from audio_dcls.dcls.parameters import parameter_groups
from audio_dcls.models.depths import depths_from_head
from audio_dcls.runs.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Optimiser over the parameters of a model, grouped as `audio_dcls.dcls.parameter_groups` does.

    With `layer_decay` the model must be a tagger: groups are further split by `depths_from_head`, and the schedule
    multiplies their rates by their `lr_scale`.
    """
    groups = parameter_groups(
        model,
        rate=config.peak_rate,
        weight_decay=config.weight_decay,
        position_rate_factor=config.position_rate_factor,
    )
    if config.layer_decay is not None:
        groups = _split_by_depth(groups, model.get_submodule("backbone"), config.layer_decay)
    if config.name == "lamb":
        return Lamb(groups, lr=config.peak_rate, betas=config.betas, eps=config.eps)
    # One pass over the memory per step, on CPUs and on GPUs.
    return torch.optim.AdamW(groups, lr=config.peak_rate, betas=config.betas, eps=config.eps, fused=True)


def _split_by_depth(groups: list[dict[str, Any]], backbone: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Split groups into one group per depth, the classifier first, with decay ** depth as `lr_scale`."""
    named = dict(backbone.named_parameters())
    depth_of = {id(named[name]): depth for name, depth in depths_from_head(backbone).items()}
    split: list[dict[str, Any]] = []
    for group in groups:
        members: dict[int, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            members.setdefault(depth_of[id(parameter)], []).append(parameter)
        split += [
            {**group, "name": f"{group['name']}-{depth}", "params": members[depth], "lr_scale": decay**depth}
            for depth in sorted(members)
        ]
    return split


def build_schedule(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, *, num_steps: int, steps_per_epoch: int
) -> CosineLRScheduler:
    """Linear warm-up from 0, then half a cosine down to `final_rate`; call `step_update(step)` before each step.

    The optimiser's current rates are the peak rates; `num_steps` counts the steps of the whole run.
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
