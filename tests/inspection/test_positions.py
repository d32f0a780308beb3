"""Planted positions show what was planted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from audio_dcls.dcls import DclsConv2d
from audio_dcls.dcls.conv import share_positions
from audio_dcls.errors import ArgumentError
from audio_dcls.inspection.element_sets import element_sets
from audio_dcls.inspection.positions import draw_position_history, draw_positions, draw_spreads, position_table

FACTS = "made, seed 0"
RADIUS = 6.0


def ring(channels: int = 8, elements: int = 12) -> DclsConv2d:
    """A layer whose elements sit on a ring."""
    layer = DclsConv2d(channels, channels, elements, (17, 17), groups=channels)
    angles = torch.linspace(0, 2 * math.pi, elements + 1)[:-1]
    with torch.no_grad():
        layer.positions[0] = RADIUS * torch.sin(angles)
        layer.positions[1] = RADIUS * torch.cos(angles)
    return layer


def test_a_ring_is_a_ring() -> None:
    (found,) = element_sets(nn.Sequential(ring()))
    np.testing.assert_allclose(np.hypot(*found.positions), RADIUS, atol=1e-5)
    figure = draw_positions([found], FACTS)
    image = figure.axes[2].images[0]
    density = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    assert (right, top) == pytest.approx((8 + 1.5, 8 + 1.5))  # all of a kernel of 17 taps, and beyond its border
    rows, columns = np.nonzero(density)
    num_rows, num_columns = density.shape
    taps_up = bottom + (rows + 0.5) * (top - bottom) / num_rows
    taps_right = left + (columns + 0.5) * (right - left) / num_columns
    distances = np.hypot(taps_up, taps_right)
    assert distances.min() > RADIUS - 1
    assert distances.max() < RADIUS + 1
    assert density.sum() == pytest.approx(1)
    table = position_table([found])
    assert table[0]["symmetry_distance"] < 0.2  # a ring of twelve; rounding moves a twelfth
    assert [row["outside_share"] for row in table] == [0, 0]


def test_shares_at_and_beyond_the_border() -> None:
    layer = DclsConv2d(1, 1, 4, (5, 7), groups=1)
    with torch.no_grad():
        layer.positions[0] = torch.tensor([-2.0, -2.5, 1.7, 0.0])
        layer.positions[1] = torch.tensor([0.0, 3.2, -2.9, 2.0])
    (found,) = element_sets(nn.Sequential(layer))
    np.testing.assert_allclose(found.outside_share(), [0.25, 0.25])
    np.testing.assert_allclose(found.near_share(), [0.5, 0.25])


def test_symmetry_is_scipys_distance() -> None:
    layer = DclsConv2d(16, 16, 9, (11, 23), groups=16)
    (found,) = element_sets(nn.Sequential(layer))
    wanted = scipy.stats.ks_2samp(found.positions[0] / 5.5, found.positions[1] / 11.5).statistic
    assert position_table([found])[0]["symmetry_distance"] == pytest.approx(wanted)


def test_layers_that_share_are_one_set() -> None:
    layers = [DclsConv2d(4, 4, 3, 7, groups=4) for _ in range(3)]
    share_positions(layers[:2])
    sets = element_sets(nn.Sequential(*layers))
    assert [found.layers for found in sets] == [("0", "1"), ("2",)]


def test_spreads_are_the_effective_ones() -> None:
    layer = DclsConv2d(2, 2, 3, 7, groups=2, interpolation="gauss")
    with torch.no_grad():
        assert layer.spreads is not None
        layer.spreads.fill_(-0.73)
    (found,) = element_sets(nn.Sequential(layer))
    np.testing.assert_allclose(found.spreads, 1.0, atol=1e-6)  # |spread| + 0.27
    assert len(draw_spreads([found], FACTS).axes) == 1
    plain = DclsConv2d(2, 2, 3, 7, groups=2, interpolation="bilinear")
    with pytest.raises(ArgumentError, match="no spreads to draw"):
        draw_spreads(element_sets(nn.Sequential(plain)), FACTS)


def test_histories_are_drawn_by_their_quantiles() -> None:
    positions = np.arange(5.0)[:, None, None] * np.ones((5, 2, 7))
    figure = draw_position_history({"a": positions}, np.arange(5.0), {"a": "stage 1"}, FACTS)
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), np.arange(5.0))
    with pytest.raises(ArgumentError, match="at least 2"):
        draw_position_history({"a": positions[:1]}, np.zeros(1), {}, FACTS)


def test_a_model_without_dcls_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no DCLS layer"):
        element_sets(nn.Conv2d(1, 1, 3))


def test_axes_end_where_nearly_all_elements_are() -> None:
    layer = DclsConv2d(8, 8, 12, (23, 23), groups=8)
    with torch.no_grad():
        layer.positions.uniform_(-2, 2, generator=torch.Generator().manual_seed(0))
    figure = draw_positions(element_sets(nn.Sequential(layer)), FACTS)
    _, right, _, top = figure.axes[2].images[0].get_extent()
    assert 2 < right < 3
    assert 2 < top < 3
