"""Errors of a tagger: rare classes, scores that are too high, confused classes (thesis, chapter 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr

from audio_dcls.evaluation.calibration import calibration
from audio_dcls.evaluation.confusion import co_occurrence, confusion
from audio_dcls.evaluation.metrics import tagging_metrics
from audio_dcls.inspection.measured_clips import MeasuredClips
from audio_dcls.inspection.print_style import COLOURS, SEQUENTIAL, colour_bar, head, legend, new_figure, shortened, tidy

_MATRIX_CLASSES = 20
"""Number of most frequent classes whose co-occurrence is drawn."""
_NUM_PAIRS = 12
_LOG_FROM = 3.0
"""If counts differ by a larger factor, their axis is logarithmic."""
_NAME_HEIGHT = 0.035
"""Height of a class's name, in average precision."""
_NAME_LENGTH = 24
_NAMED_CLASSES = 3
"""Number of best, and of worst, classes that are named in a scatter plot."""


def class_rows(measured: MeasuredClips) -> list[dict[str, Any]]:
    """A row per class with average precision and counts, worst first; classes without a positive clip are left out."""
    metrics = tagging_metrics(measured.targets, measured.scores)
    rows = [
        {
            "class": measured.labels.names[c],
            "train_clips": None if measured.train_counts is None else int(measured.train_counts[c]),
            "eval_clips": int(measured.targets[:, c].sum()),
            "average_precision": float(metrics.per_class["average_precision"][c]),
        }
        for c in range(len(measured.labels))
        if not np.isnan(metrics.per_class["average_precision"][c])
    ]
    return sorted(rows, key=lambda row: row["average_precision"])


def pair_rows(measured: MeasuredClips, most: int = _NUM_PAIRS) -> list[dict[str, Any]]:
    """The most confused pairs: the mean score of a class on clips of another class that lack it, highest first."""
    found = confusion(measured.targets, measured.scores)
    names = measured.labels.names
    places = np.argsort(-np.nan_to_num(found, nan=-1.0), axis=None, kind="stable")[:most]
    rows = []
    for i, j in zip(*np.unravel_index(places, found.shape), strict=True):
        if np.isnan(found[i, j]):
            break
        clips = int(((measured.targets[:, i] == 1) & (measured.targets[:, j] == 0)).sum())
        rows.append({"labelled": names[i], "heard": names[j], "mean_score": float(found[i, j]), "clips": clips})
    return rows


def draw_precision_by_frequency(measured: MeasuredClips, facts: str) -> Figure:
    """Draw the average precision of each class by its number of training clips or, if unknown, of measured clips."""
    rows = class_rows(measured)
    trained = measured.train_counts is not None
    counts = np.array([row["train_clips"] if trained else row["eval_clips"] for row in rows], dtype=float)
    precision = np.array([row["average_precision"] for row in rows])
    figure = new_figure(1, row_inches=3.0)
    panel = figure.subplots()
    panel.scatter(counts, precision, s=14, color=COLOURS[0], alpha=0.75, linewidths=0)
    if counts.max() > _LOG_FROM * counts.min():
        panel.set_xscale("log")
    else:
        panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        panel.margins(x=0.35)
    panel.set_ylim(-0.02, 1.05)
    _name_points(panel, rows, counts, precision)
    title = ""
    if len(rows) > 2 and len(set(counts)) > 1:
        found: Any = spearmanr(counts, precision)
        title = f"Spearman's rank correlation {found.statistic:.2f} (p {found.pvalue:.2g}, {len(rows)} classes)"
    clips = "trained on" if trained else "measured on"
    tidy(panel, x=f"clips of the class {clips}", y="average precision", title=title)
    head(figure, "Average precision by frequency of the class", f"{facts}; {measured.source}")
    return figure


def draw_calibration(measured: MeasuredClips, facts: str) -> Figure:
    """Draw a reliability diagram, with the number of pairs of clip and class in each bin."""
    found = calibration(measured.targets, measured.scores)
    figure = new_figure(1, row_inches=3.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot((0, 1), (0, 1), color="#999999", linewidth=0.8, linestyle="--", label="perfect")
    line: Any = {"color": COLOURS[1], "marker": "o", "markersize": 3.5, "linewidth": 1, "label": "model"}
    upper.plot(found.mean_scores, found.positive_shares, **line)
    legend(upper, loc="upper left")
    tidy(upper, y="share labelled with the class", title=f"Expected calibration error {found.expected_error:.3f}")
    centres = (found.edges[1:] + found.edges[:-1]) / 2
    lower.bar(centres, found.counts, width=0.9 * np.diff(found.edges), color=COLOURS[5])
    lower.set_yscale("log")
    tidy(lower, x="score", y="pairs")
    head(figure, "Calibration over all pairs of clip and class", f"{facts}; {measured.source}")
    return figure


def calibration_rows(measured: MeasuredClips) -> list[dict[str, Any]]:
    """A row per bin."""
    found = calibration(measured.targets, measured.scores)
    return [
        {
            "from": float(found.edges[b]),
            "to": float(found.edges[b + 1]),
            "pairs": int(found.counts[b]),
            "mean_score": _number(found.mean_scores[b]),
            "share_labelled": _number(found.positive_shares[b]),
        }
        for b in range(len(found.counts))
    ]


def draw_confused_pairs(measured: MeasuredClips, facts: str) -> Figure:
    """Draw the most confused pairs as bars."""
    rows = pair_rows(measured)[::-1]
    figure = new_figure(1, row_inches=0.4 + 0.22 * len(rows))
    panel = figure.subplots()
    panel.barh(range(len(rows)), [row["mean_score"] for row in rows], color=COLOURS[0], height=0.7)
    panel.set_yticks(range(len(rows)), [f"{row['labelled']} → {row['heard']} ({row['clips']})" for row in rows])
    tidy(panel, x="mean score of the second on clips of the first that lack it")
    head(figure, "Most confused classes (clips in brackets)", f"{facts}; {measured.source}")
    return figure


def draw_co_occurrence(measured: MeasuredClips, facts: str) -> Figure:
    """Draw the co-occurrence of the most frequent classes, in the labels and in the scores."""
    chosen = np.argsort(-measured.targets.sum(axis=0), kind="stable")[:_MATRIX_CLASSES]
    chosen = np.array([c for c in chosen if measured.targets[:, c].any()])
    panels = {"in the labels": measured.targets, "in the scores": measured.scores}
    panels = {title: co_occurrence(values[:, chosen]) for title, values in panels.items()}
    figure = new_figure(1, row_inches=3.9)
    axes = figure.subplots(1, 2, sharey=True)
    names = [shortened(measured.labels.names[c], _NAME_LENGTH) for c in chosen]
    top = max(float(np.nanmax(values)) for values in panels.values())
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        image = axis.imshow(values, cmap=SEQUENTIAL, vmin=0, vmax=top)
        axis.set_xticks(range(len(names)), names, rotation=90)
        tidy(axis, title=title)
        axis.tick_params(labelsize=5.5)
    axes[0].set_yticks(range(len(names)), names)
    colour_bar(figure, image, axes, "share of the row's class that has the column's class", 7, fraction=0.025, pad=0.02)
    facts = f"{facts}; {measured.source}; correlation of the two {correlation_of_co_occurrence(measured):.2f}"
    head(figure, f"Co-occurrence of the {len(names)} most frequent classes", facts)
    return figure


def correlation_of_co_occurrence(measured: MeasuredClips) -> float:
    """Pearson's correlation of the co-occurrences in labels and scores, over all pairs; NaN if one does not vary."""
    true, learned = co_occurrence(measured.targets), co_occurrence(measured.scores)
    known = ~(np.isnan(true) | np.isnan(learned))
    if known.sum() < 2 or np.ptp(true[known]) == 0 or np.ptp(learned[known]) == 0:
        return float("nan")
    return float(np.corrcoef(true[known], learned[known])[0, 1])


def co_occurrence_rows(measured: MeasuredClips) -> list[dict[str, Any]]:
    """A row per pair of classes that are labelled together, the most frequent first."""
    true, learned = co_occurrence(measured.targets), co_occurrence(measured.scores)
    names = measured.labels.names
    pairs = sorted(zip(*np.nonzero(np.nan_to_num(true)), strict=True), key=lambda pair: -true[pair])
    return [
        {"class": names[i], "with": names[j], "labelled": float(true[i, j]), "scored": float(learned[i, j])}
        for i, j in pairs
    ]


def _name_points(panel: Axes, rows: list[dict[str, Any]], x: np.ndarray, y: np.ndarray) -> None:
    """Name the best and the worst classes, without names that would cover another."""
    places = dict.fromkeys([*range(len(rows))[:_NAMED_CLASSES], *range(len(rows))[: -_NAMED_CLASSES - 1 : -1]])
    named: list[int] = []
    for place in places:
        if any(abs(y[place] - y[other]) < _NAME_HEIGHT for other in named):
            continue
        named.append(place)
        name, style = shortened(rows[place]["class"], _NAME_LENGTH), {"fontsize": 6, "color": "#444444"}
        panel.annotate(name, (x[place], y[place]), xytext=(4, 2), textcoords="offset points", **style)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
