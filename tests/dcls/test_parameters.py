"""Parameter groups, clamping, counting and repulsion, compared with values worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from audio_dcls.dcls import DclsConv1d, DclsConv2d, share_positions
from audio_dcls.dcls.parameters import clamp_positions, count_outside, parameter_groups, repulsive_loss
from audio_dcls.errors import ArgumentError


def shared_model() -> nn.Sequential:
    layers = [DclsConv2d(4, 4, 3, (5, 8), padding=(2, 4), groups=4) for _ in range(2)]
    share_positions(layers)
    return nn.Sequential(*layers, nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def test_shared_positions_are_in_one_group_once() -> None:
    model = shared_model()
    groups = {group["name"]: group for group in parameter_groups(model, rate=0.1, weight_decay=0.2)}
    assert sum(len(group["params"]) for group in groups.values()) == len(list(model.parameters()))
    assert [id(p) for p in groups["positions"]["params"]] == [id(model[0].positions), id(model[0].spreads)]
    assert (groups["positions"]["lr"], groups["positions"]["weight_decay"]) == (0.5, 0.0)
    assert len(groups["decayed"]["params"]) == 3
    assert {p.ndim for p in groups["undecayed"]["params"]} == {1}
    torch.optim.AdamW(list(groups.values()))


def test_elements_outside_are_counted_once_and_clamped() -> None:
    model = shared_model()
    with torch.no_grad():
        model[0].positions.zero_()
        model[0].positions[0, 0, 0] = torch.tensor([2.0, 2.1, -5.0])  # rows: 2 taps either side
        model[0].positions[1, 1, 0] = torch.tensor([4.0, -4.0, 4.5])  # columns: 4 taps either side
        model[0].positions[:, 2, 0, 0] = 9.0
    assert count_outside(model) == 4
    clamp_positions(model)
    assert count_outside(model) == 0
    assert model[1].positions[0, 0, 0].tolist() == [2.0, 2.0, -2.0]
    assert model[1].positions[1, 1, 0].tolist() == [4.0, -4.0, 4.0]
    assert model[0].positions[:, 2, 0, 0].tolist() == [2.0, 4.0]


def test_repulsion_of_three_elements_on_a_line() -> None:
    layer = DclsConv1d(1, 1, 3, 9)
    with torch.no_grad():
        layer.positions.copy_(torch.tensor([0.0, 0.25, 0.75]))
    # Pairs at 0.25, 0.5 and 0.75 taps overlap by 0.75, 0.5 and 0.25.
    loss = repulsive_loss(layer)
    assert loss.item() == pytest.approx(0.5)
    loss.backward()
    assert layer.positions.grad is not None
    # Each of the three pairs pulls 1/3 on both of its ends.
    torch.testing.assert_close(layer.positions.grad.flatten(), torch.tensor([2 / 3, 0.0, -2 / 3]))


def test_repulsion_averages_layers_and_ignores_what_is_far() -> None:
    near, far = DclsConv1d(2, 2, 2, 9), DclsConv1d(2, 2, 2, 9)
    with torch.no_grad():
        near.positions.zero_()
        far.positions.copy_(torch.tensor([-2.0, 2.0]))
    # Elements at the same point have no direction to part in: the gradient is 0, not NaN.
    loss = repulsive_loss(nn.Sequential(near, far))
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert near.positions.grad is not None and bool(near.positions.grad.eq(0).all())
    with pytest.raises(ArgumentError, match="two elements"):
        repulsive_loss(nn.Sequential(DclsConv1d(1, 1, 1, 3)))
