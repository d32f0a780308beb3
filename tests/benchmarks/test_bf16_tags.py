"""Tags that change in bfloat16 are counted."""

from __future__ import annotations

import bf16_tags
import numpy as np
import pytest


def test_tags_that_change_are_counted() -> None:
    full = np.array([[0.9, 0.51], [0.61, 0.6], [0.1, 0.2]])
    half = np.array([[0.9, 0.49], [0.6, 0.61], [0.1, 0.2]])
    found = bf16_tags.compare(full, half, 0.5)
    assert found["num_tags"] == 4 and found["tags_that_came_or_went"] == 1
    assert found["same_tags"] == pytest.approx(2 / 3) and found["same_first_tag"] == pytest.approx(2 / 3)
    assert found["largest_lead_of_a_first_tag_that_lost"] == pytest.approx(0.01)
    assert found["farthest_of_them_from_threshold"] == pytest.approx(0.01)
    assert found["score_difference"]["max"] == pytest.approx(0.02)
