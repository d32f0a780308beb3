"""Claim: DCLS costs next to nothing over the 7x7 baseline, and a small fraction of the cost of the authors' code.

It measures every ratio of the claim with `audio_dcls.speed`, in one run, and compares each with its target. It writes
nearly_free.json, nearly_free.png and nearly_free.md, takes about half an hour on an otherwise idle machine, and needs
the `bench` extra. `--suites NAME...` measures these suites again and keeps the other cases of the last run; `--suites`
alone only writes table and plot again:

    python benchmarks/nearly_free.py
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from pathlib import Path

import torch

from audio_dcls.speed import SUITE_NAMES, BenchReport, BenchSettings, Case, draw_report, run_benchmarks
from bench_tools.results import RESULTS, argument_parser, report_footer, report_progress, verdict

CONVNEXT, CONVFORMER, FASTVIT = "convnext_tiny", "convformer_s18", "fastvit_sa24"
MAPS = ("96 channels of 64x62", "192 channels of 32x31", "384 channels of 16x15", "768 channels of 8x7")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A ratio and its target."""

    text: str
    suite: str
    subject: str
    batch: int
    numerator: str
    denominator: str
    symbol: str
    target: float


def _claims() -> list[Claim]:
    claims = [Claim("construction of 18 kernels", "construction", CONVNEXT, 1, "authors fp32", "dcls fp32", "≥", 150)]
    for place, target in zip(MAPS, (20, 20, 9, 20), strict=True):
        subject = f"weight gradient, 23x23, {place}"
        claims.append(Claim(f"weight gradient, {place}", "layer", subject, 8, "torch fp32", "ours fp32", "≥", target))
    for suite, targets in (("train", {8: 9, 1: 35}), ("inference", {1: 80, 8: 15})):
        for batch, target in targets.items():
            text = f"{suite}, N = {batch}, {CONVNEXT}"
            claims.append(Claim(text, suite, CONVNEXT, batch, "authors fp32", "dcls fp32", "≥", target))
    for other, targets in (("stock", {"fp32": 1.0, "bf16": 1.1}), ("7x7", {"fp32": 1.1, "bf16": 1.25})):
        for p, target in targets.items():
            claims.append(
                Claim(f"train, N = 8, {CONVNEXT}", "train", CONVNEXT, 8, f"dcls {p}", f"{other} {p}", "≤", target)
            )
    claims.append(Claim(f"inference, N = 8, {CONVNEXT}", "inference", CONVNEXT, 8, "dcls fp32", "dcls bf16", "≥", 1.7))
    for model, target in ((CONVNEXT, 1.15), (CONVFORMER, 1.25), (FASTVIT, 1.2)):
        text = f"inference, N = 8, {model}"
        claims.append(Claim(text, "inference", model, 8, "dcls fp32", "7x7 fp32", "≤", target))
    for model, target in ((CONVFORMER, 1.15), (FASTVIT, 1.0)):
        claims.append(Claim(f"train, N = 8, {model}", "train", model, 8, "dcls fp32", "stock fp32", "≤", target))
    claims.append(
        Claim(f"peak memory, train, N = 8, {CONVNEXT}", "memory", CONVNEXT, 8, "dcls fp32", "7x7 fp32", "≤", 1.1)
    )
    return claims


MIN_SHARE_OF_GEMM = 0.8
RUNS = (
    BenchSettings(models=(CONVNEXT,), batches=(8,)),
    BenchSettings(("train", "inference"), (CONVNEXT,), (1,), ("fp32",)),
    BenchSettings(("train", "inference"), (CONVFORMER, FASTVIT), (8,), ("fp32", "bf16"), ("dcls", "7x7", "stock")),
)


def find_case(report: BenchReport, suite: str, subject: str, batch: int) -> Case | None:
    """The case with this suite, subject and batch, if it was measured."""
    for case in report.cases:
        if (case.suite, case.subject, case.batch) == (suite, subject, batch):
            return case
    return None


def _needed_share(case: Case) -> float:
    """The share of products that do not meet padding, read from the case's note."""
    for note in case.notes:
        found = re.search(r"dcls: ([0-9.]+) GFLOP (?:a|per) clip, of which ([0-9.]+) do not", note)
        if found:
            return float(found.group(2)) / float(found.group(1))
    raise ValueError(f"no note of case {case.suite} {case.subject} gives the share of padding")


def _other_ratios(report: BenchReport) -> list[str]:
    """Every ratio of whole models without a target, as a Markdown table."""
    claimed = {(c.suite, c.subject, c.batch, c.numerator, c.denominator) for c in _claims()}
    lines = ["| | ratio | median | quartiles of rounds |", "|---|---|---|---|"]
    for case in report.cases:
        for ratio in case.ratios:
            key = (case.suite, case.subject, case.batch, ratio.numerator, ratio.denominator)
            if case.suite == "layer" or key in claimed:
                continue
            text = f"{case.suite}, N = {case.batch}, {case.subject}"
            names = f"{ratio.numerator} ÷ {ratio.denominator}"
            lines.append(f"| {text} | {names} | {ratio.median:.3g} | {ratio.low:.3g} – {ratio.high:.3g} |")
    return lines


def make_table(report: BenchReport) -> str:
    """Every claim with its figure, as a Markdown table."""
    lines = ["| | ratio | median | quartiles of rounds | target | |", "|---|---|---|---|---|---|"]
    for claim in _claims():
        case = find_case(report, claim.suite, claim.subject, claim.batch)
        ratio = None if case is None else case.ratio(claim.numerator, claim.denominator)
        shown, spread, found = "not measured", "", "open"
        if ratio is not None:
            shown, spread = f"{ratio.median:.3g}", f"{ratio.low:.3g} – {ratio.high:.3g}"
            found = verdict(ratio.median, claim.symbol, claim.target)
        names = f"{claim.numerator} ÷ {claim.denominator}"
        lines.append(f"| {claim.text} | {names} | {shown} | {spread} | {claim.symbol} {claim.target:g} | {found} |")
    case = find_case(report, "inference", CONVNEXT, 8)
    contender = None if case is None else case.contender("dcls fp32")
    share = None if contender is None else report.share_of_peak(contender)
    if share is not None and case is not None:
        needed = share * _needed_share(case)
        for name, value in (("all products counted", share), ("without products that meet padding", needed)):
            names = f"dcls fp32, GFLOP/s ÷ sgemm, {name}"
            wanted = f"≥ {MIN_SHARE_OF_GEMM} | {verdict(value, '≥', MIN_SHARE_OF_GEMM)}"
            lines.append(f"| inference, N = 8, {CONVNEXT} | {names} | {value:.2f} | | {wanted} |")
    lines += ["", "Ratios without a target:", "", *_other_ratios(report), *report_footer(report)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds of each case")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the three files")
    parser.add_argument(
        "--suites",
        nargs="*",
        default=list(SUITE_NAMES),
        help="suites to measure; without names, only table and plot are written",
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / ("nearly_free.json" if args.device == "cpu" else f"nearly_free_{args.device}.json")
    if args.suites:
        measure(args, path)
    report = BenchReport.load(path)
    draw_report(report).savefig(path.with_suffix(".png"), dpi=130)
    table = make_table(report)
    path.with_suffix(".md").write_text(table, encoding="utf-8")
    sys.stdout.write(table)


def measure(args: argparse.Namespace, path: Path) -> None:
    """Measure the given suites, and write them together with the other cases of the last run."""
    torch.set_num_threads(args.threads)
    reports = []
    for settings in RUNS:
        suites = tuple(suite for suite in settings.suites if suite in args.suites)
        settings = dataclasses.replace(settings, suites=suites, num_rounds=args.rounds, device=args.device)
        reports.append(run_benchmarks(settings, report_progress))
    cases = [case for report in reports for case in report.cases]
    if set(args.suites) != set(SUITE_NAMES):
        cases = [c for c in BenchReport.load(path).cases if c.suite not in args.suites] + cases
    settings = {"num_rounds": args.rounds, "runs": [dataclasses.asdict(run) for run in RUNS]}
    dataclasses.replace(reports[0], settings=settings, cases=tuple(cases)).save(path)


if __name__ == "__main__":
    main()
