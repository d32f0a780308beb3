"""Brownian positions are distinguished from learned ones."""

from __future__ import annotations

import numpy as np
import pytest

from audio_dcls.errors import ArgumentError
from audio_dcls.inspection.element_motion import (
    brownian_test,
    draw_brownian,
    draw_speeds,
    mean_squared_displacements,
    speeds,
)

RECORDS, ELEMENTS = 25, 3000


def steps(seed: int) -> np.ndarray:
    """Steps that grow and shrink as under a learning rate."""
    rates = np.sin(np.linspace(0.1, np.pi, RECORDS))[:, None, None]
    return rates * np.random.default_rng(seed).standard_normal((RECORDS, 2, ELEMENTS))


def test_a_brownian_motion_is_not_rejected_more_often_than_it_should_be() -> None:
    tests = [brownian_test(steps(seed).cumsum(axis=0)) for seed in range(60)]
    assert np.mean([found.p_value < 0.05 for found in tests]) < 0.15
    assert abs(np.mean([found.statistic for found in tests])) < 0.5
    assert 0.7 < np.std([found.statistic for found in tests]) < 1.3


def test_learned_positions_go_somewhere_or_are_held() -> None:
    drift = (
        0.3
        * np.sin(np.linspace(0.1, np.pi, RECORDS))[:, None, None]
        * np.random.default_rng(1).choice([-1, 1], (1, 2, ELEMENTS))
    )
    going = brownian_test((steps(0) + drift).cumsum(axis=0))
    assert going.ratio > 1.2
    assert going.statistic > 5
    assert going.p_value < 1e-6
    assert going.exponent > 1.05
    held = np.zeros((RECORDS, 2, ELEMENTS))
    for record in range(1, RECORDS):
        held[record] = 0.6 * held[record - 1] + steps(2)[record]
    found = brownian_test(held)
    assert found.ratio < 0.8
    assert found.statistic < -5


def test_speeds_and_ways_by_hand() -> None:
    line = np.arange(4.0)[:, None, None] * np.array([[[3.0], [4.0]]])
    np.testing.assert_allclose(speeds(line, np.array([0.0, 1.0, 2.0, 4.0])), [5, 5, 2.5])
    np.testing.assert_allclose(mean_squared_displacements(line), [25, 100, 225])
    assert brownian_test(line + 1e-9 * np.random.default_rng(0).standard_normal(line.shape)).exponent == pytest.approx(
        2, abs=0.01
    )


def test_too_few_records_are_refused() -> None:
    with pytest.raises(ArgumentError, match="at least 3 records"):
        brownian_test(np.zeros((2, 2, 5)))
    with pytest.raises(ArgumentError, match="did not move"):
        brownian_test(np.zeros((4, 2, 5)))


def test_figures_show_every_set() -> None:
    histories = {"a": steps(0).cumsum(axis=0), "b": steps(1).cumsum(axis=0)}
    epochs = np.arange(float(RECORDS))
    figure = draw_speeds(histories, epochs, {"a": "stage 1"}, "made", rates=(epochs, 0.01 * epochs))
    assert [line.get_label() for line in figure.axes[0].lines] == ["stage 1", "b"]
    assert len(draw_brownian(histories, {}, "made").axes) == 2
