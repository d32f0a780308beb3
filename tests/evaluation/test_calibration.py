"""Calibration against scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from audio_dcls.errors import EvaluationError
from audio_dcls.evaluation.calibration import calibration


@pytest.mark.parametrize("num_bins", [1, 7, 15])
def test_bins_are_those_of_scikit_learn(num_bins: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((60, 5))
    targets = (rng.random((60, 5)) < scores**2).astype(int)
    found = calibration(targets, scores, num_bins)
    shares, means = calibration_curve(targets.ravel(), scores.ravel(), n_bins=num_bins)
    filled = found.counts > 0
    np.testing.assert_allclose(found.positive_shares[filled], shares)
    np.testing.assert_allclose(found.mean_scores[filled], means)
    assert found.counts.sum() == scores.size


def test_expected_error_by_hand() -> None:
    """Nine in ten promised of ten pairs, six kept; 0.1 of ten others, one kept: (10 x 0.3 + 10 x 0) / 20."""
    scores = np.array([[0.9] * 10 + [0.1] * 10])
    targets = np.array([[1] * 6 + [0] * 4 + [1] + [0] * 9])
    assert calibration(targets, scores, 10).expected_error == pytest.approx(0.15)


def test_scores_of_one_and_zero_have_bins() -> None:
    found = calibration(np.array([[1, 0]]), np.array([[1.0, 0.0]]), 4)
    assert found.counts.tolist() == [1, 0, 0, 1]
    assert found.expected_error == 0


@pytest.mark.parametrize(
    ("targets", "scores", "num_bins", "said"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), 5, "one shape"),
        (np.ones((0, 3)), np.ones((0, 3)), 5, "at least one clip"),
        (np.ones((1, 1)), np.full((1, 1), 1.5), 5, "probabilities"),
        (np.ones((1, 1)), np.full((1, 1), np.nan), 5, "probabilities"),
        (np.ones((1, 1)), np.ones((1, 1)), 0, "num_bins"),
    ],
)
def test_mistakes(targets: np.ndarray, scores: np.ndarray, num_bins: int, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        calibration(targets, scores, num_bins)
