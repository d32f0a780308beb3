"""A study's table from its numbers alone: mean and spread over seeds, and each case compared with its baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from scipy.stats import t, ttest_rel

from audio_dcls.errors import EvaluationError
from audio_dcls.evaluation.seeds import SeedSummary, summarise

_CONFIDENCE = 0.95
_MIN_TELLING_PAIRS = 5
"""With fewer pairs the table says how little they can show."""


@dataclass(frozen=True)
class Speed:
    """Clips per second; medians over rounds."""

    inference: float
    train: float


@dataclass(frozen=True)
class CaseFacts:
    """Everything that is known about a case."""

    name: str
    baseline: str | None
    """The case it is compared with."""
    scores: Mapping[int, float]
    """mAP, 0 to 1, of each seed whose training is done."""
    num_parameters: int | None = None
    num_macs: int | None = None
    """Multiplications, each with its addition, of one clip's forward pass."""
    speed: Speed | None = None
    clip_hashes: Mapping[int, str] = field(default_factory=dict)
    """`id_hash` of the clips that each seed was measured on; seeds whose run does not name it are left out."""


@dataclass(frozen=True)
class PairedDifference:
    """A case minus its baseline, seed by seed."""

    baseline: str
    by_seed: Mapping[int, float]
    """Differences of the seeds that both have."""
    mean: float
    interval: tuple[float, float] | None
    """Confidence interval of the mean at `_CONFIDENCE`, from Student's t; None for a single seed."""
    p_value: float | None
    """p of the two-sided paired t-test; None for a single seed, or if all differences are equal."""


@dataclass(frozen=True)
class MissingRun:
    """A run whose training is not done."""

    case: str
    seed: int
    state: str
    """Its state: "begun", "failed" or "to do"."""
    command: str


@dataclass(frozen=True)
class CaseRow:
    """One row of the table."""

    facts: CaseFacts
    summary: SeedSummary | None
    """Summary of mAP; None if no seed is done."""
    difference: PairedDifference | None
    """None if there is no baseline, or no seed that both have."""
    missing_seeds: tuple[int, ...]


@dataclass(frozen=True)
class StudyTable:
    """The table of a study."""

    name: str
    seeds: tuple[int, ...]
    rows: tuple[CaseRow, ...]
    missing: tuple[MissingRun, ...]
    machine: Mapping[str, Any] | None = None
    """The machine and the method of the speed measurement; None if speed was not measured."""
    notes: tuple[str, ...] = field(default=())
    """Sentences that a reader of the table needs."""

    def row(self, name: str) -> CaseRow:
        """The row of a case."""
        return next(row for row in self.rows if row.facts.name == name)

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON; mAP as a fraction."""
        return {
            "study": self.name,
            "seeds": list(self.seeds),
            "cases": [_row_values(row) for row in self.rows],
            "missing": [asdict(run) for run in self.missing],
            "machine": self.machine,
            "notes": list(self.notes),
        }


def build_table(
    name: str,
    seeds: Sequence[int],
    cases: Sequence[CaseFacts],
    missing: Sequence[MissingRun] = (),
    machine: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> StudyTable:
    """Summarise every case and compare it with its baseline; `notes` are shown after the table's own. Raises
    `EvaluationError` if a baseline is not among the cases.

    >>> tiny = [CaseFacts("a", None, {0: 0.40, 1: 0.42}), CaseFacts("b", "a", {0: 0.45, 1: 0.45})]
    >>> row = build_table("s", (0, 1), tiny).row("b")
    >>> str(row.summary), round(row.difference.mean, 3), round(row.difference.p_value, 3)
    ('0.450 ± 0.000', 0.04, 0.156)
    """
    by_name = {case.name: case for case in cases}
    rows = []
    for case in cases:
        if case.baseline is not None and case.baseline not in by_name:
            raise EvaluationError(
                f"baseline '{case.baseline}' of case '{case.name}' must be one of the cases: {', '.join(by_name)}"
            )
        baseline = by_name[case.baseline] if case.baseline is not None else None
        rows.append(
            CaseRow(
                facts=case,
                summary=summarise([case.scores[seed] for seed in sorted(case.scores)]) if case.scores else None,
                difference=None if baseline is None else compare(case.scores, baseline.scores, baseline.name),
                missing_seeds=tuple(seed for seed in seeds if seed not in case.scores),
            )
        )
    return StudyTable(
        name, tuple(seeds), tuple(rows), tuple(missing), machine, (*_notes(rows), *_clip_notes(cases), *notes)
    )


def compare(scores: Mapping[int, float], baseline: Mapping[int, float], name: str) -> PairedDifference | None:
    """The paired difference over the seeds that both have; None without a common seed.

    The t statistic is the mean of the n differences over their standard error s / sqrt(n), with n - 1 degrees of
    freedom (Student, "The Probable Error of a Mean", Biometrika 1908).

    Scores are by seed; `name` is that of the baseline.

    >>> compare({0: 0.5}, {0: 0.4, 1: 0.4}, "plain").p_value is None
    True
    """
    seeds = sorted(scores.keys() & baseline.keys())
    if not seeds:
        return None
    differences = {seed: scores[seed] - baseline[seed] for seed in seeds}
    summary = summarise(list(differences.values()))
    interval = p_value = None
    if len(seeds) > 1:
        half = interval_factor(len(seeds)) * summary.std
        interval = (summary.mean - half, summary.mean + half)
        # Differences that are equal apart from rounding have no scatter for a test to use.
        if summary.std > 1e-12:
            p_value = float(ttest_rel([scores[s] for s in seeds], [baseline[s] for s in seeds]).pvalue)
    return PairedDifference(name, differences, summary.mean, interval, p_value)


def interval_factor(num_pairs: int) -> float:
    """Half the confidence interval of a mean difference, in standard deviations of the differences.

    >>> [round(interval_factor(n), 2) for n in (2, 3, 10)]
    [8.98, 2.48, 0.72]
    """
    return float(t.ppf(0.5 + _CONFIDENCE / 2, num_pairs - 1)) / math.sqrt(num_pairs)


def _notes(rows: Sequence[CaseRow]) -> list[str]:
    notes = ["mAP in %: after the last step of each run, mean ± sample standard deviation over seeds."]
    differences = [row.difference for row in rows if row.difference is not None]
    if not differences:
        return notes
    delta = "Δ: the case minus its baseline in points of mAP, mean over the seeds both have"
    if any(difference.interval is not None for difference in differences):
        notes.append(f"{delta}, with its {_CONFIDENCE:.0%} confidence interval and the p of a two-sided paired t-test.")
    else:
        notes.append(f"{delta}; one seed says nothing about scatter, so there is no test.")
    counts = sorted({len(d.by_seed) for d in differences if 1 < len(d.by_seed) < _MIN_TELLING_PAIRS})
    if counts:
        widths = ", ".join(f"±{interval_factor(count):.2f} (for {count} pairs)" for count in counts)
        notes.append(
            f"A few pairs show little: the interval is {widths} standard deviations of the differences, and a p above "
            "0.05 does not mean that there is no difference."
        )
    num_tests = sum(d.p_value is not None for d in differences)
    if num_tests > 1:
        notes.append(
            f"Each p is for one comparison alone: with {num_tests} comparisons and no difference anywhere, the "
            f"smallest would be below 0.05 about {1 - 0.95**num_tests:.0%} of the time."
        )
    return notes


def _clip_notes(cases: Sequence[CaseFacts]) -> list[str]:
    """Notes on the clips that the scores are measured on, and whether they are the same for all."""
    runs_of: dict[str, list[str]] = {}
    for case in cases:
        for seed in sorted(case.clip_hashes.keys() & case.scores.keys()):
            runs_of.setdefault(case.clip_hashes[seed], []).append(f"{case.name} seed {seed}")
    if not runs_of:
        return []
    if len(runs_of) == 1:
        return [f"All scores are measured on the same clips (id hash {next(iter(runs_of))})."]
    named = "; ".join(f"{clips}: {', '.join(runs)}" for clips, runs in runs_of.items())
    return [f"The scores are measured on different clips (by the hash of their ids) and cannot be compared: {named}."]


def _row_values(row: CaseRow) -> dict[str, Any]:
    facts, summary, difference = row.facts, row.summary, row.difference
    return {
        "case": facts.name,
        "baseline": facts.baseline,
        "mAP": summary and asdict(summary) | {"std": None if math.isnan(summary.std) else summary.std},
        "mAP_by_seed": {str(seed): facts.scores[seed] for seed in sorted(facts.scores)},
        "clip_id_hash_by_seed": {str(seed): facts.clip_hashes[seed] for seed in sorted(facts.clip_hashes)},
        "missing_seeds": list(row.missing_seeds),
        "num_parameters": facts.num_parameters,
        "num_macs": facts.num_macs,
        "clips_per_s": facts.speed and asdict(facts.speed),
        "difference": difference
        and {
            "mean": difference.mean,
            "interval": difference.interval and list(difference.interval),
            "confidence": _CONFIDENCE,
            "p_value": difference.p_value,
            "by_seed": {str(seed): value for seed, value in difference.by_seed.items()},
        },
    }
