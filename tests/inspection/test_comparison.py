"""Differences class by class, against numpy on what was planted."""

from __future__ import annotations

import numpy as np
import pytest

from audio_dcls.inspection.comparison import Comparison, difference_rows, draw_differences
from audio_dcls.labels import LabelSet

NAMES = ("A", "B", "C")


def against(ours: dict[int, list[float]], theirs: dict[int, list[float]]) -> Comparison:
    labels = LabelSet(tuple(f"/t/{name}" for name in NAMES), NAMES)
    as_arrays = [{seed: np.array(values) for seed, values in one.items()} for one in (ours, theirs)]
    return Comparison(labels, "dcls", "7x7", *as_arrays, np.array([5, 6, 0]))


def test_seeds_are_paired() -> None:
    """A gains the same with every seed, so nothing is left of the seeds' own scatter."""
    one = against(
        {0: [0.5, 0.2, np.nan], 1: [0.9, 0.4, np.nan]},
        {0: [0.4, 0.5, np.nan], 1: [0.8, 0.3, np.nan], 2: [0, 0, np.nan]},
    )
    first, last = difference_rows(one)
    assert (first["class"], last["class"]) == ("A", "B")
    assert first["difference"] == pytest.approx(0.1)
    assert first["spread"] == pytest.approx(0, abs=1e-12)
    assert last["difference"] == pytest.approx(-0.1)
    assert last["spread"] == pytest.approx(np.std([-0.3, 0.1], ddof=1))
    assert (last["dcls"], last["7x7"]) == (pytest.approx(0.3), pytest.approx(0.4))


def test_seeds_that_are_not_shared_add_their_scatter() -> None:
    one = against({0: [0.5, 0.2, np.nan], 1: [0.7, 0.4, np.nan]}, {2: [0.4, 0.5, np.nan], 3: [0.2, 0.5, np.nan]})
    first = difference_rows(one)[0]
    assert first["difference"] == pytest.approx(0.3)
    assert first["spread"] == pytest.approx(np.hypot(np.std([0.5, 0.7], ddof=1), np.std([0.4, 0.2], ddof=1)))


def test_one_seed_has_no_spread() -> None:
    one = against({0: [0.5, 0.2, np.nan]}, {0: [0.4, 0.5, np.nan]})
    assert [row["spread"] for row in difference_rows(one)] == [None, None]
    figure = draw_differences(one, "facts")
    text = " ".join(entry.get_text() for entry in figure.texts)
    assert "1 classes gain, 1 lose" in text
    assert "seed 0 of both" in text
