"""A study's table as a figure: a point per seed, and each case next to its baseline."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from audio_dcls.evaluation.study_table import CaseRow, StudyTable

_BASELINE_COLOUR, _CASE_COLOUR, _ALONE_COLOUR = "#6f7580", "#0072b2", "#444444"
"""Colour-blind readers can distinguish them, also in grey."""
_PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
"""Background of text, which hides the grid behind it."""
_MARKERS = "osD^vP*X"
_INCHES_PER_CASE = 1.05
_MEAN_HALF_WIDTH = 0.27
_SEED_SPREAD = 0.16
_MAX_SEEDS_NAMED = 6
_GROUP_GAP = 0.55
"""Distance between groups, in widths of a case."""


def draw_study(table: StudyTable) -> Figure:
    """Draw the mAP of each seed, the mean as a bar, and lines from each seed of a case to that seed of its baseline."""
    places = _places(group_rows(table))
    figure = Figure(figsize=(max(5.0, _INCHES_PER_CASE * len(table.rows) + 2.2), 4.6), layout="constrained")
    axes: Axes = figure.subplots()
    offsets = _seed_offsets(table.seeds)
    for row in table.rows:
        _draw_joins(axes, table, row, places, offsets)
    for row in table.rows:
        _draw_case(axes, table, row, places[row.facts.name], offsets)
    _frame(axes, table, places)
    _label_differences(axes, table, places)
    figure.suptitle(f"{table.name}: mAP on the evaluation split", fontsize=11, x=0.01, ha="left", weight="bold")
    return figure


def group_rows(table: StudyTable) -> list[list[CaseRow]]:
    """Groups of rows: a case without a baseline, and after it the cases that are compared with it."""
    roots: dict[str, list[CaseRow]] = {}
    for row in table.rows:
        roots.setdefault(_root(table, row), []).append(row)
    return [sorted(rows, key=lambda row: row.facts.baseline is not None) for rows in roots.values()]


def _root(table: StudyTable, row: CaseRow) -> str:
    seen: set[str] = set()
    while row.facts.baseline is not None and row.facts.name not in seen:
        seen.add(row.facts.name)
        row = table.row(row.facts.baseline)
    return row.facts.name


def _places(groups: list[list[CaseRow]]) -> dict[str, float]:
    places, place = {}, 0.0
    for group in groups:
        for row in group:
            places[row.facts.name] = place
            place += 1
        place += _GROUP_GAP
    return places


def _seed_offsets(seeds: tuple[int, ...]) -> dict[int, float]:
    """Horizontal offsets of the seeds within a case."""
    if len(seeds) == 1:
        return {seeds[0]: 0.0}
    return {seed: _SEED_SPREAD * (2 * index / (len(seeds) - 1) - 1) for index, seed in enumerate(seeds)}


def _draw_joins(
    axes: Axes, table: StudyTable, row: CaseRow, places: dict[str, float], offsets: dict[int, float]
) -> None:
    if row.difference is None:
        return
    baseline = table.row(row.difference.baseline).facts
    for seed in row.difference.by_seed:
        x = (places[baseline.name] + offsets[seed], places[row.facts.name] + offsets[seed])
        y = (100 * baseline.scores[seed], 100 * row.facts.scores[seed])
        axes.plot(x, y, color="#c9ccd1", linewidth=0.9, zorder=1)


def _draw_case(axes: Axes, table: StudyTable, row: CaseRow, place: float, offsets: dict[int, float]) -> None:
    colour = _colour(table, row)
    if row.summary is None:
        axes.text(place, 0.5, "no run\nis done", ha="center", va="center", fontsize=8, color="#777777", bbox=_PLATE,
                  transform=axes.get_xaxis_transform())  # fmt: skip
        return
    mean, ends = 100 * row.summary.mean, [place - _MEAN_HALF_WIDTH, place + _MEAN_HALF_WIDTH]
    if not math.isnan(row.summary.std):
        std = 100 * row.summary.std
        axes.fill_between(ends, mean - std, mean + std, color=colour, alpha=0.16, linewidth=0, zorder=2)
    axes.plot(ends, [mean, mean], color=colour, linewidth=2.2, zorder=3, solid_capstyle="butt")
    for index, seed in enumerate(table.seeds):
        if seed in row.facts.scores:
            axes.plot(
                [place + offsets[seed]], [100 * row.facts.scores[seed]], marker=_MARKERS[index % len(_MARKERS)],
                markersize=6, color=colour, markeredgecolor="white", markeredgewidth=0.8, zorder=4,
            )  # fmt: skip
    axes.annotate(
        row.summary.format(scale=100, digits=2), (place, 0), xycoords=axes.get_xaxis_transform(), xytext=(0, 5),
        textcoords="offset points", ha="center", fontsize=8, color=colour, bbox=_PLATE, zorder=5,
    )  # fmt: skip


def _colour(table: StudyTable, row: CaseRow) -> str:
    if row.facts.baseline is not None:
        return _CASE_COLOUR
    is_baseline = any(other.facts.baseline == row.facts.name for other in table.rows)
    return _BASELINE_COLOUR if is_baseline else _ALONE_COLOUR


def _label_differences(axes: Axes, table: StudyTable, places: dict[str, float]) -> None:
    """Write the mean difference above each case that is compared."""
    for row in table.rows:
        if row.difference is None:
            continue
        text = f"{100 * row.difference.mean:+.2f}".replace("-", "−")
        if row.difference.p_value is not None:
            text += f"\np = {row.difference.p_value:.2g}"
        axes.annotate(
            text, (places[row.facts.name], 1), xycoords=axes.get_xaxis_transform(), xytext=(0, -4),
            textcoords="offset points", ha="center", va="top", fontsize=8, color="#222222", bbox=_PLATE, zorder=5,
        )  # fmt: skip


def _frame(axes: Axes, table: StudyTable, places: dict[str, float]) -> None:
    low, high = _range(table)
    room = max(high - low, 0.2)
    axes.set_ylim(low - 0.22 * room, high + 0.25 * room)
    axes.set_xlim(-0.6, max(places.values()) + 0.6)
    axes.set_xticks(list(places.values()), [_label(name) for name in places], fontsize=8.5)
    axes.set_ylabel("mAP (%)", fontsize=9)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    named = table.seeds if len(table.seeds) <= _MAX_SEEDS_NAMED else ()
    for index, seed in enumerate(named):
        axes.plot([], [], marker=_MARKERS[index % len(_MARKERS)], color="#555555", linestyle="", label=f"seed {seed}")
    axes.plot([], [], color="#555555", linewidth=2.2, label="mean ± std")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(named) + 1, fontsize=8, frameon=False,
        handletextpad=0.5, handlelength=1.4, columnspacing=1.2, borderaxespad=0.1,
    )  # fmt: skip


def _range(table: StudyTable) -> tuple[float, float]:
    """The lowest and the highest mAP that is drawn, in %."""
    values = [100 * score for row in table.rows for score in row.facts.scores.values()]
    for summary in (row.summary for row in table.rows):
        if summary is not None and not math.isnan(summary.std):
            values += [100 * (summary.mean - summary.std), 100 * (summary.mean + summary.std)]
    return (min(values), max(values)) if values else (0.0, 100.0)


def _label(name: str) -> str:
    """A case's name; a long name is broken at its last dash."""
    head, dash, tail = name.rpartition("-")
    return f"{head}\n{tail}" if dash and len(name) > 10 else name
