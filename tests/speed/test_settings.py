"""Settings of a benchmark that cannot be measured."""

from __future__ import annotations

import pytest

from audio_dcls.errors import ArgumentError
from audio_dcls.speed import BenchSettings


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"suites": ("inferense",)}, "inferense"),
        ({"precisions": ("fp8",)}, "fp8"),
        ({"peers": ("7x7",)}, "dcls"),
        ({"batches": (0,)}, "batches"),
        ({"num_rounds": 0}, "num_rounds"),
    ],
)
def test_what_cannot_be_measured_is_refused(settings, named):
    with pytest.raises(ArgumentError, match=named):
        BenchSettings(**settings)
