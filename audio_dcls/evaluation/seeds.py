"""Scores over seeds: mean, standard deviation, table rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from audio_dcls.errors import EvaluationError


@dataclass(frozen=True)
class SeedSummary:
    """Mean and sample standard deviation of one score over seeds."""

    mean: float
    std: float
    """Sample standard deviation (n - 1 in the denominator); NaN for a single seed."""
    num_seeds: int

    def __str__(self) -> str:
        return self.format()

    def format(self, scale: float = 1.0, digits: int = 3) -> str:
        """Mean ± std as text, or the value alone for a single seed."""
        if math.isnan(self.std):
            return f"{self.mean * scale:.{digits}f}"
        return f"{self.mean * scale:.{digits}f} ± {self.std * scale:.{digits}f}"


def summarise(values: Sequence[float]) -> SeedSummary:
    """Summarise one score per seed.

    Raises:
        EvaluationError: no value was given.

    >>> str(summarise([0.4, 0.5, 0.6]))
    '0.500 ± 0.100'
    >>> str(summarise([0.25]))
    '0.250'
    """
    if not values:
        raise EvaluationError("a mean over seeds needs at least one run, and the list is empty")
    std = statistics.stdev(values) if len(values) > 1 else math.nan
    return SeedSummary(mean=statistics.fmean(values), std=std, num_seeds=len(values))
