"""Speed of the elements during training, and a test whether they move at random (thesis, figures 2.11 and 6.2).

Axis legend: R records, M axes, E elements, L lags.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from audio_dcls.errors import ArgumentError
from audio_dcls.inspection.print_style import COLOURS, head, legend, new_figure, panel_grid, tidy

_MANY_DECADES = 100.0
"""On an axis with a larger ratio of its ends, only powers of ten have numbers."""


@dataclass(frozen=True)
class BrownianTest:
    """Positions compared with a Brownian motion whose steps have the same variances."""

    ratio: float
    """Mean squared displacement from start to end, over the sum of mean squared steps: 1 for a Brownian motion, more if
    steps keep their direction, less if they turn back."""
    statistic: float
    """Distance of `ratio` from 1 in standard errors; standard normal for a Brownian motion of many elements."""
    p_value: float
    """Two-sided."""
    exponent: float
    """Power of the lag by which the mean squared displacement grows: 1 for a Brownian motion, 2 for straight paths."""
    num_elements: int
    num_steps: int


def speeds(positions: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Mean speeds (R - 1,) of the elements between records, in taps per epoch, from positions (R, M, E) and their
    ascending epochs (R,).

    >>> speeds(np.array([[[0.0], [0.0]], [[3.0], [4.0]], [[3.0], [4.0]]]), np.array([0.0, 2.0, 3.0]))
    array([2.5, 0. ])
    """
    _check_records(positions, 2)
    return np.linalg.norm(np.diff(positions, axis=0), axis=1).mean(axis=1) / np.diff(epochs)


def mean_squared_displacements(positions: np.ndarray) -> np.ndarray:
    """Mean squared displacement at every lag, from all starts, in square taps: (R, M, E) -> (R - 1,)."""
    _check_records(positions, 2)
    lags = range(1, len(positions))
    return np.array([np.square(positions[lag:] - positions[:-lag]).sum(axis=1).mean() for lag in lags])


def brownian_test(positions: np.ndarray) -> BrownianTest:
    """Compare positions with a Brownian motion of the same step variances.

    If the steps of an element are independent with mean zero, as in a Brownian motion, the squared displacement from
    start to end is on average the sum of the squared steps, whatever each step's variance. Elements are assumed to be
    independent of each other, with one degree of freedom per axis: the squared displacement of an element, over its
    expectation, is then a mean of M squared normal variables, with variance 2 / M. Positions are (R, M, E), with three
    records or more.

    >>> rng = np.random.default_rng(0)
    >>> found = brownian_test(rng.standard_normal((20, 2, 4000)).cumsum(axis=0))
    >>> abs(found.statistic) < 3, round(found.exponent, 1)
    (True, 1.0)
    """
    _check_records(positions, 3)
    num_steps, num_axes, num_elements = len(positions) - 1, positions.shape[1], positions.shape[2]
    squared_steps = np.square(np.diff(positions, axis=0)).mean(axis=2)  # (R - 1, M)
    expected = squared_steps.sum(axis=0)
    if not (expected > 0).all():
        raise ArgumentError(
            "the model's positions did not move along every axis, so there is no motion to test; train the model"
        )
    squared_way = np.square(positions[-1] - positions[0])  # (M, E)
    ratio = float((squared_way.mean(axis=1) / expected).mean())
    statistic = (ratio - 1) / math.sqrt(2 / (num_axes * num_elements))
    squared = mean_squared_displacements(positions)
    lags = np.arange(1, len(squared) + 1)
    half = max(2, len(lags) // 2)  # later lags have few starts
    exponent = float(np.polyfit(np.log(lags[:half]), np.log(squared[:half]), 1)[0])
    p_value = float(2 * scipy.stats.norm.sf(abs(statistic)))
    return BrownianTest(ratio, statistic, p_value, exponent, num_elements, num_steps)


def draw_speeds(
    histories: Mapping[str, np.ndarray],
    epochs: np.ndarray,
    titles: Mapping[str, str],
    facts: str,
    rates: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Figure:
    """Draw the mean speed of each set per epoch and, if `rates` has epochs and rates, the learning rate.

    `histories` are (R, M, E) by set name, with two records or more.
    """
    figure = new_figure(1, row_inches=2.8)
    panel = figure.subplots()
    middles = (epochs[1:] + epochs[:-1]) / 2
    for colour, (name, positions) in zip(itertools.cycle(COLOURS), histories.items(), strict=False):
        label = titles.get(name, name)
        panel.plot(middles, speeds(positions, epochs), "o-", color=colour, markersize=3, linewidth=1.2, label=label)
    tidy(panel, x="epoch", y="mean speed, taps per epoch")
    panel.set_ylim(bottom=0)
    if rates is not None:
        right = panel.twinx()
        right.plot(*rates, color="#888888", linewidth=0.9, linestyle="--", label="learning rate")
        tidy(right, y="learning rate")
        right.set_ylim(bottom=0)
        right.spines["right"].set_visible(True)
        legend(right, loc="upper right")
    legend(panel, loc="upper left")
    head(figure, "Speed of the positions", facts)
    return figure


def draw_brownian(histories: Mapping[str, np.ndarray], titles: Mapping[str, str], facts: str) -> Figure:
    """Draw the mean squared displacement of each set by lag, and that of a Brownian motion with the same variances."""
    figure, panels = panel_grid(len(histories), min(len(histories), 2), row_inches=2.0)
    for panel, (name, positions) in zip(panels, histories.items(), strict=False):
        found = brownian_test(positions)
        squared = mean_squared_displacements(positions)
        lags = np.arange(1, len(squared) + 1)
        steps = np.square(np.diff(positions, axis=0)).sum(axis=1).mean(axis=1)
        panel.plot(lags, squared, "o-", color=COLOURS[0], markersize=2.5, linewidth=1.2, label="learned")
        panel.plot(lags, lags * steps.mean(), color="#888888", linestyle="--", linewidth=0.9, label="Brownian")
        panel.set_xscale("log")
        panel.set_yscale("log")
        _plain_ticks(panel.xaxis, len(lags))
        _plain_ticks(panel.yaxis, float(squared.max() / squared.min()))
        title = f"{titles.get(name, name)}: ratio {found.ratio:.2f}, z {found.statistic:+.1f}"
        tidy(panel, x="records (epochs) apart", y="mean squared displacement, taps²", title=title)
    legend(panels[0])
    head(figure, "Do the positions move at random?", facts)
    return figure


def _plain_ticks(axis: Axis, ratio: float) -> None:
    """Label a logarithmic axis of any length with plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ratio < _MANY_DECADES else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _check_records(positions: np.ndarray, least: int) -> None:
    if positions.ndim != 3 or len(positions) < least:
        raise ArgumentError(
            f"`positions` (shape {positions.shape}) must be (records, axes, elements) with at least {least} records"
        )
