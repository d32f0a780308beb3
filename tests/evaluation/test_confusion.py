"""Which classes are taken for which, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from audio_dcls.errors import EvaluationError
from audio_dcls.evaluation.confusion import co_occurrence, confusion, worst_missed


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    targets = (rng.random((40, 6)) < 0.3).astype(np.float32)
    targets[:, 4] = 0
    targets[:, 5] = 1
    return targets, rng.random((40, 6))


def test_confusion_is_the_mean_over_clips_that_lack_the_class(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    targets, scores = drawn
    found = confusion(targets, scores)
    for i in range(6):
        for j in range(6):
            chosen = (targets[:, i] == 1) & (targets[:, j] == 0)
            if i == j or not chosen.any():
                assert np.isnan(found[i, j])
            else:
                assert found[i, j] == pytest.approx(scores[chosen, j].mean())


def test_co_occurrence_of_targets_is_a_conditional_frequency(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    targets, _ = drawn
    found = co_occurrence(targets)
    assert np.isnan(found[4]).all()
    for i in (0, 1, 2, 3, 5):
        for j in range(6):
            if i != j:
                assert found[i, j] == pytest.approx(targets[targets[:, i] == 1, j].mean())


def test_worst_missed_are_sorted_and_one_a_clip(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    targets, scores = drawn
    found = worst_missed(targets, scores, 10)
    assert len({clip for clip, _ in found}) == len(found) == 10
    values = [scores[clip, tag] for clip, tag in found]
    assert values == sorted(values)
    assert all(targets[clip, tag] == 1 for clip, tag in found)
    lowest = {clip: scores[clip][targets[clip] == 1].min() for clip in range(40)}
    assert values == pytest.approx(sorted(lowest.values())[:10])


def test_shapes_must_agree() -> None:
    with pytest.raises(EvaluationError, match=r"must both be \(N, C\)"):
        confusion(np.ones((2, 3)), np.ones((2, 2)))
