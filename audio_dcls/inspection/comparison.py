"""Two runs or studies class by class: where DCLS helps and where it hurts.

Axes: C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from audio_dcls.errors import RunError
from audio_dcls.inspection.print_style import COLOURS, head, new_figure, tidy
from audio_dcls.labels import LabelSet
from audio_dcls.models import AudioTagger
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint, load_checkpoint
from audio_dcls.models.find_model import find_model
from audio_dcls.runs.find_run import find_runs
from audio_dcls.runs.measure import measure_study
from audio_dcls.runs.run_files import read_per_class

_MAX_BARS = 15
"""Classes drawn from each end."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Average precision of two sets of runs over the same clips."""

    labels: LabelSet
    name: str
    other_name: str
    precision: dict[int, np.ndarray]
    """(C,) average precision by seed, NaN for a class without a positive clip."""
    other_precision: dict[int, np.ndarray]
    num_positives: np.ndarray
    """(C,) clips of each class among those measured on."""
    other_model: AudioTagger | None = None
    """The other tagger, in evaluation mode, whose receptive field is shown next to this one's."""


def compare_runs(
    path: str, other_path: str, loaded: LoadedCheckpoint, on_progress: Callable[[int], object] | None = None
) -> Comparison:
    """Compare two studies or runs by their last measurement; what was never measured is measured now.

    `loaded` is a checkpoint of `path`; `on_progress` gets the number of clips measured since its last call.
    """
    if Path(other_path).resolve() == Path(path).resolve():
        raise RunError(f"'{other_path}' would be compared with itself; name another run or study by --against")
    other = load_checkpoint(find_model(other_path))
    if other.labels.ids != loaded.labels.ids:
        raise RunError(
            f"'{other_path}' has other classes than '{path}', and cannot be compared; name one with the same classes"
        )
    precision, num_positives = _precision(path, on_progress)
    other_precision, other_positives = _precision(other_path, on_progress)
    if not np.array_equal(num_positives, other_positives):
        raise RunError(
            f"'{path}' and '{other_path}' were measured on different clips, so their scores cannot be compared; "
            "measure both on the same by: audio-dcls eval --manifest MANIFEST"
        )
    name, other_name = _different_names(Path(path).resolve(), Path(other_path).resolve())
    return Comparison(loaded.labels, name, other_name, precision, other_precision, num_positives, other.model.eval())


def _different_names(path: Path, other: Path) -> tuple[str, str]:
    if path.name != other.name:
        return path.name, other.name
    return f"{path.parent.name}/{path.name}", f"{other.parent.name}/{other.name}"


def _precision(path: str, on_progress: Callable[[int], object] | None) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Average precision (C,) by seed, and the number of positive clips (C,)."""
    study, runs = find_runs(path)
    trained = [run for run in runs if run.checkpoints()]
    if not trained:
        raise RunError(f"'{path}' has no trained run to compare; name another study or run")
    unmeasured = [run for run in trained if not read_per_class(run.per_class_path)]
    if unmeasured:
        measure_study(study, unmeasured, on_progress=on_progress)
    tables = {run.seed: read_per_class(run.per_class_path) for run in trained}
    precision = {
        seed: np.array([float(row["average_precision"] or "nan") for row in rows]) for seed, rows in tables.items()
    }
    return precision, np.array([int(row["num_positives"]) for row in tables[trained[-1].seed]])


def difference_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row per class with a score in both, the largest gain first.

    Seeds that both have are paired, and the spread is the sample standard deviation of their differences. Without a
    common seed the means are compared, and the spread is sqrt(s^2 + s'^2).
    """
    seeds = sorted(comparison.precision.keys() & comparison.other_precision.keys())
    ours, theirs = _stacked(comparison.precision, seeds), _stacked(comparison.other_precision, seeds)
    if seeds:
        differences = ours - theirs
        means, spreads = differences.mean(axis=0), _spread(differences)
    else:
        means = ours.mean(axis=0) - theirs.mean(axis=0)
        spreads = np.sqrt(np.square(_spread(ours)) + np.square(_spread(theirs)))
    rows = [
        {
            "class": comparison.labels.names[c],
            "eval_clips": int(comparison.num_positives[c]),
            comparison.name: float(ours[:, c].mean()),
            comparison.other_name: float(theirs[:, c].mean()),
            "difference": float(means[c]),
            "spread": None if np.isnan(spreads[c]) else float(spreads[c]),
        }
        for c in range(len(comparison.labels))
        if not np.isnan(means[c])
    ]
    return sorted(rows, key=lambda row: -row["difference"])


def draw_differences(comparison: Comparison, facts: str) -> Figure:
    """Draw bars of the classes that gain and lose most, with the spread over seeds."""
    rows = difference_rows(comparison)
    shown = (rows if len(rows) <= 2 * _MAX_BARS else rows[:_MAX_BARS] + rows[-_MAX_BARS:])[::-1]
    figure = new_figure(1, row_inches=0.6 + 0.17 * len(shown))
    panel = figure.subplots()
    values = np.array([row["difference"] for row in shown])
    colours = [COLOURS[0] if value >= 0 else COLOURS[1] for value in values]
    spreads = [row["spread"] or 0.0 for row in shown]
    error = {"xerr": spreads, "error_kw": {"elinewidth": 0.8, "ecolor": "#333333"}} if any(spreads) else {}
    panel.barh(range(len(shown)), values, color=colours, height=0.7, **error)  # type: ignore[arg-type]
    panel.axvline(0, color="#333333", linewidth=0.6)
    panel.set_yticks(range(len(shown)), [f"{row['class']} ({row['eval_clips']})" for row in shown])
    tidy(panel, x=f"average precision: {comparison.name} minus {comparison.other_name}")
    panel.set_ylim(-0.7, len(shown) - 0.3)
    differences = np.array([row["difference"] for row in rows])
    change = f"{(differences > 0).sum()} classes gain, {(differences < 0).sum()} lose, mean {differences.mean():+.3f}"
    facts = f"{facts}; number of measured clips in brackets; {_seeds(comparison)}"
    head(figure, f"{comparison.name} and {comparison.other_name}: {change}", facts)
    return figure


def _seeds(comparison: Comparison) -> str:
    shared = comparison.precision.keys() & comparison.other_precision.keys()
    if shared:
        return f"{len(shared)} paired seeds" if len(shared) > 1 else f"seed {next(iter(shared))} of both"
    return f"{len(comparison.precision)} and {len(comparison.other_precision)} seeds, not paired"


def _stacked(precision: dict[int, np.ndarray], seeds: list[int]) -> np.ndarray:
    return np.stack([precision[seed] for seed in seeds or sorted(precision)])


def _spread(values: np.ndarray) -> np.ndarray:
    """Sample standard deviation over the first axis; NaN for a single row."""
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
