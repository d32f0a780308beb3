"""Thresholds against scikit-learn's precision and recall, and against every threshold there is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_curve

from audio_dcls.errors import EvaluationError
from audio_dcls.evaluation.thresholds import best_threshold, fit_thresholds

CLIPS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=30)


@settings(deadline=None)
@given(clips=CLIPS)
def test_no_threshold_is_better_also_where_scores_are_tied(clips: list[tuple[bool, int]]) -> None:
    targets = np.array([target for target, _ in clips])
    scores = np.array([score for _, score in clips]) / 8
    assume(targets.any() and (scores > 0).all())
    threshold = best_threshold(targets, scores)
    assert 0 < threshold <= 1
    everyone = [f1_score(targets, scores >= each) for each in np.arange(9) / 8]
    assert f1_score(targets, scores >= threshold) == pytest.approx(max(everyone))


def test_the_best_f1_is_that_of_scikit_learns_curve() -> None:
    rng = np.random.default_rng(0)
    targets = rng.random((400, 6)) < np.array([0.02, 0.05, 0.1, 0.3, 0.5, 0.9])
    scores = np.clip(rng.normal(0.2 + 0.3 * targets, 0.15), 0.001, 0.999)
    fitted = fit_thresholds(targets, scores)
    for c in range(6):
        precision, recall, _ = precision_recall_curve(targets[:, c], scores[:, c])
        best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
        assert fitted.f1[c] == pytest.approx(best)
        assert fitted.f1[c] == pytest.approx(f1_score(targets[:, c], scores[:, c] >= fitted.values[c]))
        assert fitted.f1_plain[c] == pytest.approx(f1_score(targets[:, c], scores[:, c] >= 0.5))
    assert fitted.mean_f1 > fitted.mean_f1_plain
    assert fitted.fitted.all()


def test_a_threshold_stands_in_the_middle_of_the_gap() -> None:
    assert best_threshold(np.array([True, True, False]), np.array([0.9, 0.8, 0.2])) == pytest.approx(0.5)
    assert best_threshold(np.array([True, True]), np.array([0.9, 0.8])) == pytest.approx(0.4)


def test_a_rare_class_takes_the_threshold_of_all() -> None:
    rng = np.random.default_rng(1)
    targets = np.zeros((200, 3), dtype=int)
    targets[:80, 0] = 1
    targets[:2, 1] = 1
    scores = np.clip(rng.normal(0.2 + 0.2 * targets, 0.05), 0.01, 0.99)
    fitted = fit_thresholds(targets, scores)
    assert fitted.fitted.tolist() == [True, False, False]
    assert fitted.values[1] == fitted.values[2] == fitted.pooled
    assert fitted.pooled == best_threshold(targets.astype(bool).ravel(), scores.ravel())
    assert np.isnan(fitted.f1[2]) and np.isfinite(fitted.mean_f1)
    document = fitted.to_json_dict()
    assert document["num_classes_fitted"] == 1 and document["mean_f1"] == fitted.mean_f1


def test_a_score_of_zero_for_everything_still_gives_a_threshold_above_zero() -> None:
    assert best_threshold(np.array([True, False]), np.zeros(2)) > 0


@pytest.mark.parametrize(
    ("targets", "scores", "named"),
    [
        (np.ones((2, 3)), np.ones((2, 2)), "one shape"),
        (np.ones((2, 2)), np.full((2, 2), np.nan), "probabilities"),
        (np.ones((2, 2)), np.full((2, 2), 1.5), "probabilities"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "the 2 clips have no labels"),
    ],
)
def test_what_cannot_be_fitted_is_refused(targets: np.ndarray, scores: np.ndarray, named: str) -> None:
    with pytest.raises(EvaluationError, match=named):
        fit_thresholds(targets, scores)
