"""Figures of an audit: usable clips of each split, clips of each class, classes that occur together.

C classes.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from audio_dcls.data.audit.summary import AuditSummary
from audio_dcls.inspection.print_style import frameless, shortened

INK, RULE = "#102030", "#102031"
"""Colours that nothing else has: a page replaces them by its own colours, light or dark."""
_USABLE_COLOUR, _LISTED_COLOUR = "#2f86c1", "#9aa3ad"
_FAULT_COLOURS = ("#c8553d", "#e39b3b", "#8d6bb8", "#4fa37c", "#b5547f", "#a58a4b", "#6d7fd0", "#7c8a94")
"""Colours of the kinds of faults, from the most frequent; after the eighth they start again."""
_WIDTH_INCHES = 9.0
_MAX_CLASSES = 20
_NAME_LENGTH = 26
_DECADE = 10
_TINY = 8.5


def draw_coverage(summary: AuditSummary) -> Figure:
    """Draw a bar per split: the usable share, and the faults of the rest."""
    figure, axes = _framed(1.3 + 0.42 * len(summary.splits))
    places = np.arange(len(summary.splits))[::-1]
    left = np.zeros(len(summary.splits))
    counts = {"usable": [split.coverage.num_usable for split in summary.splits.values()]}
    for name in summary.faults():
        counts[name] = [split.faults.get(name, 0) for split in summary.splits.values()]
    listed = np.array([split.coverage.num_listed for split in summary.splits.values()])
    for number, (name, values) in enumerate(counts.items()):
        share = 100 * np.array(values) / np.maximum(listed, 1)
        colour = _USABLE_COLOUR if number == 0 else _FAULT_COLOURS[(number - 1) % len(_FAULT_COLOURS)]
        axes.barh(places, share, left=left, color=colour, height=0.62, label=name)
        left += share
    axes.set_yticks(places, list(summary.splits))
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the clips listed", color=INK, fontsize=_TINY)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=6, fontsize=_TINY, frameon=False, labelcolor=INK,
                handlelength=1.0, columnspacing=1.2, borderaxespad=0.2)  # fmt: skip
    return figure


def draw_class_counts(summary: AuditSummary) -> Figure:
    """Draw the listed and the usable clips of each class, from the most frequent; classes without clips are left out.

    The axis is logarithmic if the largest class has at least ten times as many clips as the smallest.
    """
    figure, axes = _framed(3.2)
    listed, usable = summary.class_listed(), summary.class_usable()
    order = np.argsort(-listed, kind="stable")[: int((listed > 0).sum())]
    ranks = np.arange(1, len(order) + 1)
    marks = {"marker": ".", "markersize": 4 if len(order) > 60 else 8, "linewidth": 1.2}
    axes.plot(ranks, listed[order], color=_LISTED_COLOUR, label="listed", **marks)
    axes.plot(ranks, np.where(usable > 0, usable, np.nan)[order], color=_USABLE_COLOUR, label="usable", **marks)
    smallest = min((count for count in (*listed, *usable) if count > 0), default=1)
    if max(listed, default=1) >= _DECADE * smallest:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("classes, from the most frequent", color=INK, fontsize=_TINY)
    axes.set_ylabel("clips", color=INK, fontsize=_TINY)
    axes.legend(fontsize=_TINY, frameon=False, labelcolor=INK)
    return figure


def draw_worst_classes(summary: AuditSummary) -> Figure:
    """Draw the classes with the smallest usable share."""
    listed, usable = summary.class_listed(), summary.class_usable()
    share = 100 * usable / np.maximum(listed, 1)
    order = [c for c in np.argsort(share, kind="stable") if listed[c] > 0][:_MAX_CLASSES]
    figure, axes = _framed(1.0 + 0.22 * max(len(order), 1))
    places = np.arange(len(order))[::-1]
    axes.barh(places, share[order], color=_USABLE_COLOUR, height=0.62)
    axes.set_yticks(places, [shortened(summary.labels.names[c], _NAME_LENGTH) for c in order])
    for place, c in zip(places, order, strict=True):
        axes.annotate(f"{usable[c]} of {listed[c]}", (share[c], place), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize=7.5, color=INK)  # fmt: skip
    axes.set_xlim(0, 118)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("% of the class's clips that can be used", color=INK, fontsize=_TINY)
    return figure


def draw_co_occurrence(summary: AuditSummary) -> Figure:
    """Draw, for the most frequent classes, the share of the clips of a row's class that has the column's class."""
    totals = np.diag(summary.co_occurrence)
    chosen = [c for c in np.argsort(-totals, kind="stable") if totals[c] > 0][:_MAX_CLASSES]
    figure, axes = _framed(1.9 + 0.27 * max(len(chosen), 1), grid=False)
    if not chosen:
        return figure
    share = 100 * summary.co_occurrence[np.ix_(chosen, chosen)] / totals[chosen][:, None]
    np.fill_diagonal(share, np.nan)
    highest = max(float(np.nanmax(share)), 1.0) if len(chosen) > 1 else 1.0
    mesh = axes.pcolormesh(np.ma.masked_invalid(share), cmap="viridis", vmin=0, vmax=highest)
    names = [shortened(summary.labels.names[c], _NAME_LENGTH) for c in chosen]
    middles = np.arange(len(chosen)) + 0.5
    axes.set_xticks(middles, names, rotation=55, ha="right", rotation_mode="anchor")
    axes.set_yticks(middles, names)
    axes.invert_yaxis()
    bar = figure.colorbar(mesh, ax=axes, fraction=0.03, pad=0.015)
    bar.set_label("% of the row's clips", color=INK, fontsize=_TINY)
    bar.ax.tick_params(colors=INK, labelsize=_TINY)
    bar.solids.set_rasterized(False)  # type: ignore[union-attr]  # sharp at any size
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def draw_durations(durations_s: np.ndarray) -> Figure:
    """Draw a histogram of the lengths (n,) of the usable clips, in seconds, on a logarithmic axis of counts."""
    figure, axes = _framed(2.5)
    if len(durations_s):
        axes.hist(durations_s, bins=60, color=_USABLE_COLOUR, log=True)
    axes.set_xlabel("length of the clips in s", color=INK, fontsize=_TINY)
    axes.set_ylabel("clips", color=INK, fontsize=_TINY)
    return figure


def _framed(height_inches: float, *, grid: bool = True) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
    figure.patch.set_alpha(0)
    axes: Axes = figure.subplots()
    axes.patch.set_alpha(0)
    frameless(axes, INK, RULE if grid else None, _TINY)
    return figure, axes
