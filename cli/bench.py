"""`audio-dcls bench`: speed and memory of DCLS against named peers, measured in one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from audio_dcls.benchmarking import BenchReport, Case

HELP = (
    "Measure layers and whole models against the 7x7 baseline, timm as it comes and the authors' library, in turns. "
    "Writes bench.json and bench.png. On a quiet machine the figures mean most."
)
MIN_PUBLISHED_ROUNDS = 7


def bench(
    suites: Annotated[
        list[str] | None,
        typer.Argument(help="construction, layer, train, inference, memory; all where none is named."),
    ] = None,
    models: Annotated[list[str], typer.Option("--model", help="timm's name; may be repeated.")] = ["convnext_tiny"],  # noqa: B006
    batches: Annotated[list[int], typer.Option("--batch", min=1, help="Clips in a batch; may be repeated.")] = [8],  # noqa: B006
    precisions: Annotated[list[str], typer.Option("--precision", help="fp32 or bf16; may be repeated.")] = [  # noqa: B006
        "fp32",
        "bf16",
    ],
    peers: Annotated[
        list[str] | None, typer.Option("--peer", help="7x7, stock or authors; may be repeated. All if none.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch; its own choice if not given.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each case; 7 or more to publish.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder for bench.json and bench.png.")] = Path("bench"),
    json_: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Run the benchmarks, print their tables, and write the report."""
    import json

    import torch

    from audio_dcls.benchmarking import PEER_NAMES, SUITE_NAMES, BenchSettings, draw_report, run_benchmarks
    from audio_dcls_cli.progress import err, say
    from audio_dcls_cli.progress import out as screen

    settings = BenchSettings(
        suites=tuple(suites or SUITE_NAMES),
        models=tuple(models),
        batches=tuple(batches),
        precisions=tuple(precisions),
        peers=PEER_NAMES if peers is None else ("dcls", *(peer for peer in peers if peer != "dcls")),
        device=device,
        num_rounds=rounds,
    )
    if threads is not None:
        torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    with err.status("starting") as status:
        report = run_benchmarks(settings, status.update)
    report.save(out / "bench.json")
    draw_report(report).savefig(out / "bench.png", dpi=150)
    if json_:
        typer.echo(json.dumps(report.to_json_dict()))
        return
    for case in report.cases:
        screen.print(case_table(report, case))
        for note in case.notes:
            screen.print(f"  {note}", style="dim", soft_wrap=True, markup=False)
        screen.print()
    if rounds < MIN_PUBLISHED_ROUNDS:
        say(f"{rounds} rounds show a trend; take {MIN_PUBLISHED_ROUNDS} or more for figures to rely on")
    say(f"written: {out / 'bench.json'}, {out / 'bench.png'}")


def case_table(report: BenchReport, case: Case) -> Table:
    """Medians, quartiles, the share of the machine's matrix products, and ratios, of one case."""
    from rich.table import Table

    title = f"{case.suite}: {case.subject}" + ("" if case.suite == "construction" else f", N = {case.batch}")
    table = Table(title=title, title_style="bold", title_justify="left", box=None, pad_edge=False, min_width=len(title))
    shares = [report.share_of_peak(contender) for contender in case.contenders]
    for header in (case.unit, "median", "quartiles", *(["share of gemm"] if any(shares) else [])):
        table.add_column(header, justify="left" if header == case.unit else "right")
    for contender, share in zip(case.contenders, shares, strict=True):
        low, high = contender.quartiles
        cells = [f"{share:.0%}"] if share is not None else []
        table.add_row(contender.name, f"{contender.median:.4g}", f"{low:.4g} – {high:.4g}", *cells)
    for ratio in case.ratios:
        name, spread = f"{ratio.numerator} ÷ {ratio.denominator}", f"{ratio.low:.3g} – {ratio.high:.3g}"
        table.add_row(name, f"{ratio.median:.3g}", spread, style="bold")
    return table
