"""A metric is one entry of `METRICS`: everything that shows scores shows it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, label_ranking_average_precision_score

from audio_dcls.evaluation import tagging_metrics
from audio_dcls.evaluation.metrics import METRICS, Metric
from audio_dcls.labels import LabelSet
from audio_dcls.runs.scores import RunScores, StudyScores, write_per_class
from audio_dcls_cli.screen.progress import out
from audio_dcls_cli.screen.tables import score_table

TARGETS = np.array([[1, 0], [0, 1], [1, 1]])
SCORES = np.array([[0.8, 0.4], [0.3, 0.6], [0.7, 0.2]])
LABELS = LabelSet(ids=("/a", "/b"), names=("A", "B"))
LRAP = float(label_ranking_average_precision_score(TARGETS, SCORES))
BRIER = [float(brier_score_loss(TARGETS[:, c], SCORES[:, c])) for c in range(2)]


@pytest.fixture(autouse=True)
def _two_new_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Metric("LRAP", lambda m: float(label_ranking_average_precision_score(m.targets, m.scores)))
    by_class = Metric("Brier", lambda m: m.by_class(brier_score_loss), column="brier", digits=2, shown_in_training=True)
    monkeypatch.setitem(METRICS, "lrap", whole)
    monkeypatch.setitem(METRICS, "mean_brier", by_class)


def test_scores_by_class_and_training_line_have_it(tmp_path: Path) -> None:
    metrics = tagging_metrics(TARGETS, SCORES)
    assert metrics.scores["lrap"] == LRAP
    assert metrics.scores["mean_brier"] == np.mean(BRIER)
    assert metrics.shown_in_training() == {"mAP": metrics.scores["mAP"], "Brier": np.mean(BRIER)}
    write_per_class(tmp_path / "per_class.csv", metrics, LABELS)
    with (tmp_path / "per_class.csv").open() as file:
        assert [float(row["brier"]) for row in csv.DictReader(file)] == pytest.approx(BRIER, abs=1e-6)


def test_json_and_the_printed_table_have_it(tmp_path: Path) -> None:
    metrics = tagging_metrics(TARGETS, SCORES)
    runs = tuple(RunScores(seed, tmp_path / "model", tmp_path / "per_class.csv", metrics) for seed in (0, 1))
    scores = StudyScores(Path("study"), LABELS, runs, num_listed=3, num_evaluated=3, id_hash="0")
    document = scores.to_json_dict()
    assert document["runs"][0]["lrap"] == document["summary"]["lrap"]["mean"] == LRAP
    with out.capture() as captured:
        score_table(scores)
    printed = " ".join(captured.get().split())
    assert "LRAP" in printed and f"{LRAP:.4f}" in printed
    assert "Brier" in printed and f"{np.mean(BRIER):.2f} ± 0.00" in printed
