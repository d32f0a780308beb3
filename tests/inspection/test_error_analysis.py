"""Figures of errors over scores whose answers are known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from audio_dcls.inspection import error_analysis
from audio_dcls.inspection.measured_clips import MeasuredClips
from audio_dcls.labels import LabelSet

NAMES = ("Dog", "Bark", "Rain", "Never")


@pytest.fixture
def measured() -> MeasuredClips:
    """Dog is taken for bark, rain is always right, and no clip is of the last class."""
    rng = np.random.default_rng(0)
    targets = np.zeros((60, 4))
    targets[np.arange(60), np.arange(60) % 3] = 1
    scores = 0.05 + 0.02 * rng.random((60, 4))
    scores[targets == 1] = 0.9
    scores[targets[:, 0] == 1, 1] = 0.8
    scores[targets[:, 0] == 1, 0] = 0.04
    labels = LabelSet(tuple(f"/t/{name}" for name in NAMES), NAMES)
    return MeasuredClips(
        labels,
        [f"clip{n}" for n in range(60)],
        targets,
        scores,
        "60 clips of split eval",
        16_000,
        lambda _: np.zeros(16_000, dtype=np.float32),
        np.array([10, 400, 20, 3]),
    )


def test_class_rows_are_worst_first_without_classes_that_never_occur(measured: MeasuredClips) -> None:
    rows = error_analysis.class_rows(measured)
    assert [row["class"] for row in rows] == ["Dog", "Bark", "Rain"]
    assert rows[-1]["average_precision"] == 1
    assert (rows[0]["train_clips"], rows[0]["eval_clips"]) == (10, 20)


def test_the_planted_confusion_comes_first(measured: MeasuredClips) -> None:
    first, second = error_analysis.pair_rows(measured)[:2]
    assert (first["labelled"], first["heard"], first["clips"]) == ("Dog", "Bark", 20)
    assert first["mean_score"] == pytest.approx(0.8)
    assert second["mean_score"] < 0.1


def test_co_occurrence_of_clips_of_one_label_has_no_rows_and_no_likeness(measured: MeasuredClips) -> None:
    assert error_analysis.co_occurrence_rows(measured) == []
    assert np.isnan(error_analysis.correlation_of_co_occurrence(measured))


@pytest.mark.parametrize(
    "draw",
    [
        error_analysis.draw_precision_by_frequency,
        error_analysis.draw_calibration,
        error_analysis.draw_confused_pairs,
        error_analysis.draw_co_occurrence,
    ],
)
def test_figures_say_model_data_and_n(measured: MeasuredClips, draw: object) -> None:
    figure: Figure = draw(measured, "a model, seed 0")  # type: ignore[operator]
    text = " ".join(entry.get_text() for entry in figure.texts)
    assert "a model, seed 0" in text
    assert "60 clips of split eval" in text
    figure.savefig(io.BytesIO(), format="png")
