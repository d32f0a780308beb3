"""Spreads and repulsion that follow a schedule, and learned delays end to end."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from audio_dcls.dcls import DclsConv1d, DclsConv2d, clamp_positions, freeze, parameter_groups
from audio_dcls.dcls.schedules import RepulsionSchedule, SpreadSchedule
from audio_dcls.errors import ArgumentError


def test_scheduled_spreads_are_a_buffer_that_follows_the_epoch() -> None:
    layer = DclsConv2d(2, 2, 3, 9, padding=4, groups=2, learn_spreads=False)
    assert "spreads" in layer.state_dict()
    assert "spreads" not in dict(layer.named_parameters())
    schedule = SpreadSchedule(initial_taps=4.0, num_epochs=10)
    assert schedule.apply(nn.Sequential(layer), 0) == 4.0
    wide = layer.dense_kernel()
    assert schedule.apply(layer, 10) == pytest.approx(0.23)
    assert bool((layer.spreads == 0.23).all())
    assert not torch.allclose(wide, layer.dense_kernel())
    layer(torch.ones(1, 2, 9, 9)).sum().backward()
    assert layer.positions.grad is not None


def test_schedules_refuse_what_they_cannot_do() -> None:
    with pytest.raises(ArgumentError, match="learn_spreads=False"):
        SpreadSchedule(1.0, 5).apply(DclsConv1d(1, 1, 1, 3), 0)
    with pytest.raises(ArgumentError, match="final_taps"):
        SpreadSchedule(0.1, 5)
    with pytest.raises(ArgumentError, match="num_epochs"):
        SpreadSchedule(1.0, 0)
    with pytest.raises(ArgumentError, match="end_epoch"):
        RepulsionSchedule(0.1, end_epoch=3, decay_epoch=3)


def test_a_delay_is_learned_and_rounded() -> None:
    """One element finds the delay of 5 taps between two signals, from a wide spread to a single tap."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 1, 64, generator=generator)
    target = torch.roll(x, 5, dims=-1)[..., 8:-8]
    layer = DclsConv1d(1, 1, 1, 17, bias=False, learn_spreads=False, generator=generator)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    schedule = SpreadSchedule(initial_taps=8.0, num_epochs=30)
    optimizer = torch.optim.Adam(parameter_groups(layer, rate=0.04, weight_decay=0.0))
    for epoch in range(60):
        schedule.apply(layer, epoch)
        optimizer.zero_grad()
        (layer(x) - target).square().mean().backward()
        optimizer.step()
        clamp_positions(layer)
    assert layer.positions.item() == pytest.approx(-5, abs=0.3)
    kernel = freeze(nn.Sequential(layer), discrete=True)[0].weight
    assert kernel.flatten().nonzero().tolist() == [[8 - 5]]
