"""Windows cover every sample, and none of a long sound holds padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_dcls.errors import ArgumentError
from audio_dcls.inference.windows import window_starts


@given(num=st.integers(1, 500), window=st.integers(1, 60), hop=st.integers(1, 60))
def test_every_sample_is_covered(num: int, window: int, hop: int) -> None:
    hop = min(hop, window)
    starts = window_starts(num, window, hop)
    covered = np.zeros(num, dtype=bool)
    for start in starts:
        covered[start : start + window] = True
        assert num <= window or start + window <= num
    assert covered.all()
    assert starts == sorted(set(starts))


@pytest.mark.parametrize(("num", "window", "hop"), [(0, 10, 10), (5, 0, 1), (5, 10, 0), (50, 10, 11)])
def test_lengths_that_cannot_be_are_refused(num: int, window: int, hop: int) -> None:
    with pytest.raises(ArgumentError):
        window_starts(num, window, hop)
