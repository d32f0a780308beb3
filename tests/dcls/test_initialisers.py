"""Initial positions of elements."""

from __future__ import annotations

import pytest
import torch

from audio_dcls.dcls import DclsConv1d, DclsConv2d, count_outside
from audio_dcls.dcls.initialisers import place_grid, place_normal, place_uniform


def test_random_positions_have_their_distribution_and_repeat_by_seed() -> None:
    layer = DclsConv2d(64, 64, 20, (9, 22), groups=64)
    for place, deviations in ((place_normal, (0.5, 0.5)), (place_uniform, (8 / 12**0.5, 21 / 12**0.5))):
        place(layer, generator=torch.Generator().manual_seed(0))
        first = layer.positions.detach().clone()
        # 1280 draws an axis: the deviation is known to 2 %, 4 standard errors are 8 %.
        for coordinates, deviation in zip(first, deviations, strict=True):
            assert coordinates.std().item() == pytest.approx(deviation, rel=0.08)
        assert count_outside(layer) == 0
        place(layer, generator=torch.Generator().manual_seed(0))
        assert torch.equal(layer.positions, first)
    place_normal(layer, std_taps=100.0)
    assert count_outside(layer) == 0


def test_a_grid_is_even_and_centred() -> None:
    layer = DclsConv2d(2, 2, 9, (9, 15), groups=2)
    place_grid(layer)
    points = sorted(map(tuple, layer.positions[:, 0, 0].T.tolist()))
    assert points == [(row, column) for row in (-3.0, 0.0, 3.0) for column in (-5.0, 0.0, 5.0)]
    line = DclsConv1d(1, 1, 4, 8)
    place_grid(line)
    assert sorted(line.positions.flatten().tolist()) == [-3.5, -1.5, 0.5, 2.5]
    some = DclsConv2d(1, 1, 26, 23)
    place_grid(some)
    assert len(set(map(tuple, some.positions[:, 0, 0].T.tolist()))) == 26
