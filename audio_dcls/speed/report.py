"""The report of a benchmark: times, ratios and the machine, with conversion to and from JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pydantic


@dataclass(frozen=True)
class Contender:
    """Measurements of one contender, one per round, in the case's unit; its name is peer and precision ("dcls fp32").

    `gflops` are the operations of one call in billions, where a multiply-add counts as two; None if unknown.
    """

    name: str
    values: tuple[float, ...]
    gflops: float | None = None

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and third quartile of the rounds.

        >>> Contender("a", (1.0, 2.0, 3.0, 4.0, 5.0)).quartiles
        (2.0, 4.0)
        """
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        first, _, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return first, third


@dataclass(frozen=True)
class Ratio:
    """Median and quartiles of the rounds' ratios of two contenders.

    A machine that is slow for a while slows both contenders of a round.
    """

    numerator: str
    denominator: str
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numerator: Contender, denominator: Contender) -> Ratio:
        """The ratio of two contenders of a case.

        >>> Ratio.of(Contender("a", (2.0, 4.0, 6.0)), Contender("b", (1.0, 1.0, 2.0))).median
        3.0
        """
        ratios = Contender("", tuple(a / b for a, b in zip(numerator.values, denominator.values, strict=True)))
        return cls(numerator.name, denominator.name, ratios.median, *ratios.quartiles)


@dataclass(frozen=True)
class Case:
    """Contenders of a suite that were measured in turns under the same conditions, and ratios of pairs of them.

    The subject is the model or the layer. Notes are facts that a reader needs, such as a peer that is not installed.
    """

    suite: str
    subject: str
    batch: int
    unit: Literal["ms", "MiB"]
    contenders: tuple[Contender, ...]
    ratios: tuple[Ratio, ...]
    notes: tuple[str, ...] = ()

    def ratio(self, numerator: str, denominator: str) -> Ratio | None:
        """The ratio of two contenders by name, if it was measured."""
        names = (numerator, denominator)
        return next((ratio for ratio in self.ratios if (ratio.numerator, ratio.denominator) == names), None)

    def contender(self, name: str) -> Contender | None:
        """A contender by name, if it was measured."""
        return next((one for one in self.contenders if one.name == name), None)


@dataclass(frozen=True)
class BenchReport:
    """A run of benchmarks: the machine, the settings and the measurements.

    `peaks_gflops` is the speed of large matrix products by precision, in billions of operations per second.
    """

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    peaks_gflops: Mapping[str, float]
    cases: tuple[Case, ...] = field(default=())

    def share_of_peak(self, contender: Contender) -> float | None:
        """A contender's operations per second over those of large matrix products in its precision; None if unknown.

        The operations are nominal: products with padding are counted, as in papers.
        """
        peak = self.peaks_gflops.get(contender.name.split()[-1])
        if contender.gflops is None or peak is None:
            return None
        return 1000 * contender.gflops / contender.median / peak

    def to_json_dict(self) -> dict[str, Any]:
        """The report as plain values, with medians, quartiles and shares of the peak."""
        report = asdict(self)
        for case, plain in zip(self.cases, report["cases"], strict=True):
            for contender, values in zip(case.contenders, plain["contenders"], strict=True):
                values |= {"median": contender.median, "quartiles": contender.quartiles}
                values |= {"share_of_peak": self.share_of_peak(contender)}
        return report

    def save(self, path: str | Path) -> None:
        """Write the report as JSON."""
        Path(path).write_text(json.dumps(self.to_json_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> BenchReport:
        """Read a report that `save` wrote."""
        return pydantic.TypeAdapter(cls).validate_json(Path(path).read_bytes())


def ratios_of(contenders: Sequence[Contender], pairs: Sequence[tuple[str, str]]) -> tuple[Ratio, ...]:
    """The ratios of pairs (numerator, denominator) of which both contenders were measured."""
    known = {contender.name: contender for contender in contenders}
    return tuple(Ratio.of(known[a], known[b]) for a, b in pairs if a in known and b in known)
