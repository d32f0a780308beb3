"""The position history of models with shared positions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from audio_dcls.dcls import DclsConv1d, DclsConv2d, share_positions
from audio_dcls.dcls.history import PositionHistory
from audio_dcls.errors import ArgumentError


def test_shared_positions_are_recorded_once_and_come_back_from_a_file() -> None:
    layers = [DclsConv2d(2, 2, 3, 5, groups=2) for _ in range(2)]
    share_positions(layers)
    model = nn.Sequential(*layers, DclsConv1d(2, 2, 4, 7, interpolation="bilinear"))
    history = PositionHistory()
    start = layers[0].positions.detach().clone()
    for step in (0, 5, 9):
        history.record(model, step)
        with torch.no_grad():
            layers[1].positions[0].add_(3)
            layers[1].positions[1].add_(4)
    assert history.names == ["0", "2"]
    assert history.positions("0").shape == (3, 2, 2, 1, 3)
    torch.testing.assert_close(history.positions("0")[0], start)
    torch.testing.assert_close(history.displacement("0"), torch.tensor([0.0, 5.0, 10.0]))
    assert history.spreads("0").unique().tolist() == [pytest.approx(0.23)]
    twin = PositionHistory.from_tensors(history.tensors())
    assert twin.steps == [0, 5, 9]
    assert torch.equal(twin.positions("2"), history.positions("2"))
    with pytest.raises(ArgumentError, match="spreads; there are: 0, 2"):
        history.spreads("2")
    with pytest.raises(ArgumentError, match="step"):
        history.record(model, 9)
    alone = PositionHistory()
    alone.record(DclsConv1d(1, 1, 1, 3), 0)
    assert alone.names == [""]
