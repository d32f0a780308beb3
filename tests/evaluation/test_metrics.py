"""Scores against hand-worked values, scikit-learn's own averaging, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from audio_dcls.errors import EvaluationError
from audio_dcls.evaluation import id_hash, summarise, tagging_metrics
from audio_dcls.evaluation.metrics import d_prime_from_auc


def test_average_precision_worked_by_hand() -> None:
    # Ranked: positive, negative, positive, negative: AP = (1/1 + 2/3) / 2; 3 of 4 pairs in order: AUC = 3/4.
    targets = np.array([[1], [0], [1], [0]])
    scores = np.array([[0.9], [0.8], [0.7], [0.1]])
    metrics = tagging_metrics(targets, scores)
    assert metrics.mean_average_precision == pytest.approx((1 + 2 / 3) / 2, abs=1e-12)
    assert metrics.scores["AUC"] == pytest.approx(0.75, abs=1e-12)
    assert metrics.scores["mean_d_prime"] == pytest.approx(np.sqrt(2) * norm.ppf(0.75), abs=1e-12)


def test_means_agree_with_scikit_learns_macro_average() -> None:
    rng = np.random.default_rng(3)
    targets = (rng.random((200, 17)) < 0.2).astype(int)
    scores = rng.random((200, 17)) + 0.3 * targets
    metrics = tagging_metrics(targets, scores)
    assert metrics.mean_average_precision == pytest.approx(average_precision_score(targets, scores, average="macro"))
    assert metrics.scores["AUC"] == pytest.approx(roc_auc_score(targets, scores, average="macro"))
    assert metrics.scores["d_prime_of_mean_AUC"] == pytest.approx(np.sqrt(2) * norm.ppf(metrics.scores["AUC"]))
    assert metrics.scores["mean_d_prime"] == pytest.approx(np.mean(np.sqrt(2) * norm.ppf(metrics.per_class["auc"])))


def test_accuracy_is_scikit_learns_where_every_clip_has_one_label() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, 90)
    targets, scores = np.eye(4)[classes], rng.random((90, 4))
    metrics = tagging_metrics(targets, scores)
    assert metrics.scores["accuracy"] == accuracy_score(classes, scores.argmax(1))
    targets[7, (classes[7] + 1) % 4] = 1
    metrics = tagging_metrics(targets, scores)
    assert "accuracy" not in metrics.scores


def test_classes_without_both_kinds_are_left_out_and_named() -> None:
    targets = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]])
    scores = np.array([[0.9, 0.5, 0.5], [0.1, 0.5, 0.5], [0.8, 0.5, 0.5]])
    metrics = tagging_metrics(targets, scores)
    assert metrics.left_out == (1, 2)
    assert metrics.mean_average_precision == 1.0
    assert np.isnan(metrics.per_class["average_precision"][1:]).all()


def test_d_prime_of_a_perfect_auc_is_finite_and_grows_with_the_clips() -> None:
    few, many = (d_prime_from_auc(np.array([1.0]), np.array([n]), np.array([n]))[0] for n in (5, 50))
    assert 0 < few < many < np.inf


def test_a_monotone_change_of_scores_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    targets, logits = (rng.random((60, 5)) < 0.3).astype(int), rng.standard_normal((60, 5))
    first, second = tagging_metrics(targets, logits), tagging_metrics(targets, 1 / (1 + np.exp(-logits)))
    assert first.mean_average_precision == second.mean_average_precision


@pytest.mark.parametrize(
    ("targets", "scores", "expected"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), "one shape"),
        (np.full((2, 2), 0.5), np.zeros((2, 2)), "only 0 and 1"),
        (np.array([[1.0], [0.0]]), np.array([[np.nan], [0.0]]), "not finite"),
        (np.zeros((4, 2)), np.zeros((4, 2)), "both a positive and a negative"),
    ],
)
def test_unusable_arrays_are_refused(targets: np.ndarray, scores: np.ndarray, expected: str) -> None:
    with pytest.raises(EvaluationError, match=expected):
        tagging_metrics(targets, scores)


def test_summary_is_the_sample_standard_deviation() -> None:
    values = [0.41, 0.44, 0.46]
    summary = summarise(values)
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.std == pytest.approx(np.std(values, ddof=1))
    with pytest.raises(EvaluationError):
        summarise([])


def test_id_hash_tells_sets_apart() -> None:
    assert id_hash(["a", "b"]) == id_hash(["b", "a"])
    assert id_hash(["a", "b"]) != id_hash(["a", "c"])
    assert id_hash(["ab"]) != id_hash(["a", "b"])
