"""Positions of the elements after and during training, and their spreads (thesis, figures 2.10 and 6.3).

Axis legend: R records, M axes (frequency, time), E elements, S sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from audio_dcls.errors import ArgumentError
from audio_dcls.inspection.element_sets import AXES, ElementSet
from audio_dcls.inspection.print_style import (
    COLOURS,
    SEQUENTIAL,
    colour_bar,
    head,
    legend,
    new_figure,
    panel_grid,
    tidy,
)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SHOWN_QUANTILE = 0.995
_WHOLE_FROM = 0.6
"""If elements reach over this part of the kernel, the whole kernel is drawn."""
_LEAST_REACH = 1.5
_NUM_BINS, _DENSITY_BINS = 44, 33


def position_table(sets: Sequence[ElementSet]) -> list[dict[str, Any]]:
    """A row per set and axis: moments of the positions and spreads, shares at the border, symmetry of the axes.

    The symmetry is the two-sample Kolmogorov-Smirnov distance between the positions along frequency and along time,
    each over half the kernel's size: 0 for equal distributions, 1 for separate ones.

    >>> ring = ElementSet("a", "set 1", ("a",), (7, 7), np.array([[2.0, 0.0, -2.0, 0.0], [0.0, 2.0, 0.0, -2.0]]), None)
    >>> [(row["axis"], row["mean"], round(row["std"], 3), row["symmetry_distance"]) for row in position_table([ring])]
    [('frequency', 0.0, 1.414, 0.0), ('time', 0.0, 1.414, 0.0)]
    """
    rows = []
    for found in sets:
        outside, near = found.outside_share(), found.near_share()
        halves = np.array(found.kernel_size)[:, None] / 2
        compared: Any = scipy.stats.ks_2samp(*(found.positions / halves))
        for axis, name in enumerate(AXES):
            positions = found.positions[axis]
            rows.append(
                {
                    "set": found.title,
                    "layers": len(found.layers),
                    "axis": name,
                    "elements": positions.size,
                    "mean": float(positions.mean()),
                    "std": float(positions.std()),
                    **{f"q{round(100 * q):02d}": float(np.quantile(positions, q)) for q in QUANTILES},
                    "outside_share": float(outside[axis]),
                    "near_border_share": float(near[axis]),
                    "mean_spread": None if found.spreads is None else float(found.spreads[axis].mean()),
                    "symmetry_distance": float(compared.statistic),
                }
            )
    return rows


def spread_table(sets: Sequence[ElementSet]) -> list[dict[str, Any]]:
    """A row per set and axis: quantiles of the effective spreads; sets without spreads are left out."""
    return [
        {"set": found.title, "axis": name, "elements": found.spreads[axis].size}
        | {f"q{round(100 * q):02d}": float(np.quantile(found.spreads[axis], q)) for q in QUANTILES}
        for found in sets
        if found.spreads is not None
        for axis, name in enumerate(AXES)
    ]


def draw_positions(sets: Sequence[ElementSet], facts: str, starts: Mapping[str, np.ndarray] | None = None) -> Figure:
    """Draw a row per set: histograms along frequency and time, and the joint density.

    Args:
        sets: the sets, from `element_sets`.
        facts: the line under the title: model, seed, data, score.
        starts: (M, E) positions at the start of training by set name, drawn as an outline.
    """
    figure = new_figure(len(sets), row_inches=1.9)
    panels = figure.subplots(len(sets), 3, squeeze=False)
    for row, found in zip(panels, sets, strict=True):
        start, reach = (starts or {}).get(found.name), _reach(found)
        size = " x ".join(map(str, found.kernel_size))
        for axis, name in enumerate(AXES):
            _histogram(row[axis], found, axis, reach[axis], None if start is None else start[axis])
            title = f"{found.title} (kernel {size})"
            tidy(row[axis], x=f"position along {name}, taps", y="share of elements", title=title)
        _density(figure, row[2], found, reach)
    head(figure, "Positions of the elements", f"{facts}; outline: at the start" if starts else facts)
    return figure


def draw_position_history(
    histories: Mapping[str, np.ndarray], epochs: np.ndarray, titles: Mapping[str, str], facts: str
) -> Figure:
    """Draw quantiles of the positions along both axes over training.

    `histories` are (R, M, E) by set name, with two records or more; `titles` are by set name.
    """
    if len(epochs) < 2:
        raise ArgumentError(f"a history of {len(epochs)} records cannot be drawn; train further, to at least 2")
    figure = new_figure(len(histories), row_inches=1.8)
    panels = figure.subplots(len(histories), len(AXES), squeeze=False, sharex=True)
    for row, (name, positions) in zip(panels, histories.items(), strict=True):
        for axis, axis_name in enumerate(AXES):
            quantiles = np.quantile(positions[:, axis], QUANTILES, axis=1)
            row[axis].fill_between(epochs, quantiles[0], quantiles[-1], color=COLOURS[axis], alpha=0.18, linewidth=0)
            row[axis].fill_between(epochs, quantiles[1], quantiles[-2], color=COLOURS[axis], alpha=0.35, linewidth=0)
            row[axis].plot(epochs, quantiles[2], color=COLOURS[axis], linewidth=1.4)
            tidy(row[axis], x="epoch", y=f"{axis_name}, taps", title=titles.get(name, name))
    head(figure, "Positions over training", f"{facts}; median, middle half and middle nine tenths of the elements")
    return figure


def draw_spreads(sets: Sequence[ElementSet], facts: str) -> Figure:
    """Draw histograms of the effective spreads along both axes, one panel per set."""
    if any(found.spreads is None for found in sets):
        raise ArgumentError("the interpolation of this model has no spreads to draw; it is one of the bilinear forms")
    figure, panels = panel_grid(len(sets), min(len(sets), 4))
    for panel, found in zip(panels, sets, strict=False):
        assert found.spreads is not None
        bins = np.linspace(0, max(float(np.quantile(found.spreads, 0.995)), 0.5), 41).tolist()
        for axis, name in enumerate(AXES):
            weights = np.full(found.spreads[axis].size, 1 / found.spreads[axis].size)
            panel.hist(found.spreads[axis], bins, weights=weights, histtype="step", color=COLOURS[axis], label=name)
        tidy(panel, x="spread, taps", y="share of elements", title=found.title)
    legend(panels[0])
    head(figure, "Spreads of the elements", facts)
    return figure


def _reach(found: ElementSet) -> np.ndarray:
    """(M,) taps to draw on both sides of the centre: enough for nearly all elements, at most the kernel."""
    needed = 1.25 * np.quantile(np.abs(found.positions), _SHOWN_QUANTILE, axis=1)
    whole = np.abs(found.borders).max(axis=1) + 1.5
    return np.where(needed > _WHOLE_FROM * whole, whole, np.maximum(needed, _LEAST_REACH))


def _histogram(panel: Axes, found: ElementSet, axis: int, reach: float, start: np.ndarray | None) -> None:
    low, high = found.borders[axis]
    bins = np.linspace(-reach, reach, _NUM_BINS + 1).tolist()
    values = np.clip(found.positions[axis], -reach, reach)
    panel.hist(values, bins, weights=np.full(values.size, 1 / values.size), color=COLOURS[axis], alpha=0.85)
    if start is not None:
        shown = np.clip(start, -reach, reach)
        panel.hist(
            shown, bins, weights=np.full(shown.size, 1 / shown.size), histtype="step", color="black", linewidth=0.7
        )
    for border in (low - 0.5, high + 0.5):
        if abs(border) <= reach:
            panel.axvline(border, color="#888888", linewidth=0.6, linestyle=":")


def _density(figure: Figure, panel: Axes, found: ElementSet, reach: np.ndarray) -> None:
    area = [[-reach[1], reach[1]], [-reach[0], reach[0]]]
    counts, _, _ = np.histogram2d(found.positions[1], found.positions[0], bins=_DENSITY_BINS, range=area)
    shares = counts.T / found.positions[0].size
    image = panel.imshow(
        shares, origin="lower", extent=(*area[0], *area[1]), cmap=SEQUENTIAL, aspect="equal", interpolation="nearest"
    )
    tidy(panel, x="time, taps", y="frequency, taps", title="joint density")
    colour_bar(figure, image, panel, "share", fraction=0.05, pad=0.02)
