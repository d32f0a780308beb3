"""Groups, schedule and rates of the recipe, against independent constructions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from audio_dcls.dcls import DclsConv2d, share_positions
from audio_dcls.runs.config import OptimizerConfig
from audio_dcls.training.learning.optim import build_optimizer, build_schedule


class Toy(nn.Module):
    """One parameter of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.LayerNorm(2)
        self.gamma = nn.Parameter(torch.ones(2, 1, 1))
        self.first = DclsConv2d(4, 4, 5, (7, 7), groups=4)
        self.second = DclsConv2d(4, 4, 5, (7, 7), groups=4)
        share_positions([self.first, self.second])


def by_hand(model: Toy) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Decayed, not decayed, positions and spreads."""
    decayed = [model.linear.weight, model.first.weight, model.second.weight]
    flat = [model.linear.bias, model.norm.weight, model.norm.bias, model.gamma, model.first.bias, model.second.bias]
    return decayed, flat, [model.first.positions, model.first.spreads]


def test_every_parameter_is_in_one_group_with_its_rate_and_decay() -> None:
    model = Toy()
    rates = {"peak_rate": 0.1, "weight_decay": 0.05, "position_rate_factor": 5}
    groups = {g["name"]: g for g in build_optimizer(model, OptimizerConfig(**rates)).param_groups}
    for name, expected in zip(("decayed", "undecayed", "positions"), by_hand(model), strict=True):
        assert {id(p) for p in groups[name]["params"]} == {id(p) for p in expected}
    assert len({id(p) for g in groups.values() for p in g["params"]}) == len(list(model.parameters()))
    assert {n: (g["lr"], g["weight_decay"]) for n, g in groups.items()} == {
        "decayed": (0.1, 0.05),
        "undecayed": (0.1, 0.0),
        "positions": (0.5, 0.0),
    }


def test_schedule_is_linear_warm_up_then_half_a_cosine() -> None:
    config = OptimizerConfig(peak_rate=4e-3, final_rate=1e-6, warmup_epochs=2)
    optimizer = build_optimizer(Toy(), config)
    schedule = build_schedule(optimizer, config, num_steps=60, steps_per_epoch=10)
    for step in range(60):
        schedule.step_update(step)
        for group in optimizer.param_groups:
            peak = 4e-3 * (5 if group["name"] == "positions" else 1)
            if step < 20:
                expected = peak * step / 20
            else:
                expected = 1e-6 + 0.5 * (peak - 1e-6) * (1 + math.cos(math.pi * (step - 20) / 40))
            assert group["lr"] == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_adamw_steps_equal_those_of_groups_written_by_hand() -> None:
    config = OptimizerConfig(peak_rate=1e-2)
    torch.manual_seed(0)
    ours, theirs = Toy(), Toy()
    theirs.load_state_dict(ours.state_dict())
    optimizer = build_optimizer(ours, config)
    decayed, flat, moved = by_hand(theirs)
    reference = torch.optim.AdamW(
        [
            {"params": decayed, "lr": 1e-2, "weight_decay": 0.05},
            {"params": flat, "weight_decay": 0.0},
            {"params": moved, "lr": 5e-2, "weight_decay": 0.0},
        ],
        lr=1e-2,
    )
    for _ in range(20):
        gradients = {name: torch.randn_like(p) for name, p in ours.named_parameters()}
        for model, stepper in ((ours, optimizer), (theirs, reference)):
            for name, parameter in model.named_parameters():
                parameter.grad = gradients[name].clone()
            stepper.step()
    for (name, mine), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(mine, other, msg=name)
