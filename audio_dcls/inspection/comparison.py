"""Two runs or studies class by class: where DCLS helps and where it hurts.

Axes: C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from audio_dcls.inspection.evaluated import Against
from audio_dcls.inspection.print_style import COLOURS, head, new_figure, tidy

MOST_BARS = 15
"""Classes drawn from each end."""


def difference_rows(against: Against) -> list[dict[str, Any]]:
    """A row a class that both have a score of, most gained first.

    Seeds that both have are paired and the spread is the sample standard deviation of their differences; where none
    is in both, the means are compared and the spread is sqrt(s^2 + s'^2).
    """
    seeds = sorted(against.precision.keys() & against.other_precision.keys())
    ours, theirs = _stacked(against.precision, seeds), _stacked(against.other_precision, seeds)
    if seeds:
        differences = ours - theirs
        means, spreads = differences.mean(axis=0), _spread(differences)
    else:
        means = ours.mean(axis=0) - theirs.mean(axis=0)
        spreads = np.sqrt(np.square(_spread(ours)) + np.square(_spread(theirs)))
    rows = [
        {
            "class": against.labels.names[c],
            "eval_clips": int(against.num_positives[c]),
            against.name: float(ours[:, c].mean()),
            against.other_name: float(theirs[:, c].mean()),
            "difference": float(means[c]),
            "spread": None if np.isnan(spreads[c]) else float(spreads[c]),
        }
        for c in range(len(against.labels))
        if not np.isnan(means[c])
    ]
    return sorted(rows, key=lambda row: -row["difference"])


def draw_differences(against: Against, facts: str) -> Figure:
    """Bars of the classes that gain and lose most, with the spread over seeds."""
    rows = difference_rows(against)
    shown = rows if len(rows) <= 2 * MOST_BARS else rows[:MOST_BARS] + rows[-MOST_BARS:]
    shown = shown[::-1]
    figure = new_figure(1, row_inches=0.6 + 0.17 * len(shown))
    panel = figure.subplots()
    values = np.array([row["difference"] for row in shown])
    colours = [COLOURS[0] if value >= 0 else COLOURS[1] for value in values]
    spreads = [row["spread"] or 0.0 for row in shown]
    error = {"xerr": spreads, "error_kw": {"elinewidth": 0.8, "ecolor": "#333333"}} if any(spreads) else {}
    panel.barh(range(len(shown)), values, color=colours, height=0.7, **error)  # type: ignore[arg-type]
    panel.axvline(0, color="#333333", linewidth=0.6)
    panel.set_yticks(range(len(shown)), [f"{row['class']} ({row['eval_clips']})" for row in shown])
    tidy(panel, x=f"average precision: {against.name} minus {against.other_name}")
    panel.set_ylim(-0.7, len(shown) - 0.3)
    gained = sum(row["difference"] > 0 for row in rows)
    lost = sum(row["difference"] < 0 for row in rows)
    mean = np.mean([row["difference"] for row in rows])
    head(
        figure,
        f"{against.name} beside {against.other_name}: {gained} classes gain, {lost} lose, mean {mean:+.3f}",
        f"{facts}; clips measured on in brackets; {_seeds(against)}",
    )
    return figure


def _seeds(against: Against) -> str:
    shared = against.precision.keys() & against.other_precision.keys()
    if shared:
        return f"{len(shared)} paired seeds" if len(shared) > 1 else f"seed {next(iter(shared))} of both"
    return f"{len(against.precision)} and {len(against.other_precision)} seeds, not paired"


def _stacked(precision: dict[int, np.ndarray], seeds: list[int]) -> np.ndarray:
    return np.stack([precision[seed] for seed in seeds or sorted(precision)])


def _spread(values: np.ndarray) -> np.ndarray:
    """Sample standard deviation over the first axis; NaN for a single row."""
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
