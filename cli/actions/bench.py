"""`audio-dcls bench`: speed and memory of DCLS against named peers, measured in one run."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import typer
from rich.table import Table

from audio_dcls.models.device import has_bf16
from audio_dcls.speed import PEER_NAMES, SUITE_NAMES, BenchReport, BenchSettings, Case, draw_report, run_in_parts
from audio_dcls_cli.screen.progress import err, say
from audio_dcls_cli.screen.progress import out as screen

MIN_PUBLISHED_ROUNDS = 7
INTERRUPTED = 130


def bench(
    *,
    suites: list[str] | None,
    models: list[str],
    batches: list[int],
    precisions: list[str] | None,
    peers: list[str] | None,
    device: str,
    threads: int | None,
    rounds: int,
    out: Path,
    json_: bool,
) -> None:
    """Run the benchmarks, print their tables, and write the report."""
    settings = BenchSettings(
        suites=tuple(suites or SUITE_NAMES),
        models=tuple(models),
        batches=tuple(batches),
        precisions=tuple(precisions or _precisions_of(device)),
        peers=PEER_NAMES if peers is None else ("dcls", *(peer for peer in peers if peer != "dcls")),
        device=device,
        num_rounds=rounds,
    )
    if threads is not None:
        torch.set_num_threads(threads)
    report, is_stopped = _measure(settings)
    out.mkdir(parents=True, exist_ok=True)
    report.save(out / "bench.json")
    draw_report(report).savefig(out / "bench.png", dpi=150)
    if json_:
        typer.echo(json.dumps(report.to_json_dict()))
        raise typer.Exit(INTERRUPTED if is_stopped else 0)
    for case in report.cases:
        screen.print(case_table(report, case))
        for note in case.notes:
            screen.print(f"  {note}", style="dim", soft_wrap=True, markup=False)
        screen.print()
    if rounds < MIN_PUBLISHED_ROUNDS:
        noun = "round shows" if rounds == 1 else "rounds show"
        say(f"{rounds} {noun} a trend; take {MIN_PUBLISHED_ROUNDS} or more for figures to rely on")
    say(f"written: {out / 'bench.json'}, {out / 'bench.png'}")
    if is_stopped:
        say(f"Stopped after {len(report.cases)} cases; the others were not measured.")
        raise typer.Exit(INTERRUPTED)


def _precisions_of(device: str) -> list[str]:
    """The precisions that a device has instructions for."""
    if device == "cpu" or (device == "cuda" and torch.cuda.is_available()):
        return ["fp32", "bf16"] if has_bf16(torch.device(device)) else ["fp32"]
    return ["fp32"]  # the benchmark itself reports what is wrong with the device


def _measure(settings: BenchSettings) -> tuple[BenchReport, bool]:
    """The report of the measured cases, and whether Ctrl-C stopped the measurement before the last one."""
    report = None
    try:
        with err.status("starting") as status:
            for report in run_in_parts(settings, status.update):
                if report.cases and not err.is_terminal:
                    err.print(f"measured: {report.cases[-1].suite}, {report.cases[-1].subject}")
    except KeyboardInterrupt:
        if report is None:
            err.print("Stopped before a case was measured; nothing is written.")
            raise
        return report, True
    assert report is not None
    return report, False


def case_table(report: BenchReport, case: Case) -> Table:
    """The table of one case: medians, quartiles, the share of the machine's matrix product rate, and ratios."""
    title = f"{case.suite}: {case.subject}" + ("" if case.suite == "construction" else f", N = {case.batch}")
    table = Table(title=title, title_style="bold", title_justify="left", box=None, pad_edge=False, min_width=len(title))
    shares = [report.share_of_peak(contender) for contender in case.contenders]
    for header in (case.unit, "median", "quartiles", *(["share of gemm"] if any(shares) else [])):
        table.add_column(header, justify="left" if header == case.unit else "right")
    for contender, share in zip(case.contenders, shares, strict=True):
        low, high = contender.quartiles
        cells = [f"{share:.0%}"] if share is not None else []
        table.add_row(contender.name, _digits(contender.median), f"{_digits(low)} – {_digits(high)}", *cells)
    for ratio in case.ratios:
        name, spread = f"{ratio.numerator} ÷ {ratio.denominator}", f"{ratio.low:.3g} – {ratio.high:.3g}"
        table.add_row(name, f"{ratio.median:.3g}", spread, style="bold")
    return table


def _digits(value: float) -> str:
    """A number with four digits, without an exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
