"""The figure of a benchmark's ratios."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from audio_dcls.speed.report import BenchReport, Case, Ratio

_Row = tuple[str, Ratio]
_COLOURS = {"fp32": "#0072b2", "bf16": "#d55e00", "both": "#555555"}
"""Colours that colour-blind readers can distinguish, also in grey (Okabe and Ito)."""

_ROW_INCHES = 0.27


def draw_report(report: BenchReport) -> Figure:
    """Panels of ratios with quartiles over rounds: DCLS against 7x7, others' code against ours, and precisions."""
    panels = [
        (_rows(report, "dcls"), "DCLS 23x23 ÷ 7x7, ours or stock (1 = the same)", False),
        (_rows(report, "others"), "others ÷ ours (log scale)", True),
        (_rows(report, "precisions"), "ours, fp32 ÷ bf16", False),
    ]
    panels = [panel for panel in panels if panel[0]] or [([], "", False)]
    heights = [max(1, len(rows)) for rows, _, _ in panels]
    figure = Figure(figsize=(8.5, _ROW_INCHES * sum(heights) + 0.75 * len(panels) + 0.7), layout="constrained")
    for axes, (rows, title, is_log) in zip(
        figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0], panels, strict=True
    ):
        _draw_rows(axes, rows, title, is_log=is_log)
        shown = [name for name in ("fp32", "bf16") if any(_precision(ratio) == name for _, ratio in rows)]
        for name in shown:
            axes.plot([], [], marker="o", linewidth=3, color=_COLOURS[name], label=name)
        if shown:
            axes.legend(loc="lower right", fontsize=8, frameon=False, ncols=2, bbox_to_anchor=(1.0, 1.0))
    machine = report.machine
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    where = machine.get("accelerator") or f"{machine['processor']}, {threads}"
    number = report.settings["num_rounds"]
    rounds = "1 round" if number == 1 else f"medians and quartiles of {number} rounds"
    figure.suptitle(f"audio-dcls bench · {where} · torch {machine['versions']['torch']} · {rounds}", fontsize=9)
    return figure


def _rows(report: BenchReport, kind: str) -> list[_Row]:
    rows = []
    for case in report.cases:
        for ratio in case.ratios:
            first, second = ratio.numerator.split()[0], ratio.denominator.split()[0]
            found = "precisions" if first == second else "dcls" if first == "dcls" else "others"
            if found == kind:
                rows.append((_label(case, ratio), ratio))
    return rows


def _label(case: Case, ratio: Ratio) -> str:
    first, second = ratio.numerator.split(), ratio.denominator.split()
    is_of_precisions = first[0] == second[0]
    against = f"{ratio.numerator} ÷ {second[1]}" if is_of_precisions else f"{first[0]} ÷ {ratio.denominator}"
    if case.suite == "layer":
        return f"{case.subject}: {against}"
    return f"{case.suite}, {case.subject}, N = {case.batch}: {against}"


def _draw_rows(axes: Axes, rows: list[_Row], title: str, *, is_log: bool) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    if not rows:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    places = range(len(rows))
    for place, (_, ratio) in zip(places, rows, strict=True):
        colour = _COLOURS[_precision(ratio)]
        axes.plot([ratio.low, ratio.high], [place, place], color=colour, linewidth=3, solid_capstyle="butt", alpha=0.5)
        axes.plot([ratio.median], [place], marker="o", color=colour, markersize=5)
        axes.annotate(
            f"{ratio.median:.3g}", (max(ratio.high, ratio.median), place), textcoords="offset points", xytext=(6, -3),
            fontsize=7.5,
        )  # fmt: skip
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(list(places), [label for label, _ in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    low, high = min(ratio.low for _, ratio in rows), max(ratio.high for _, ratio in rows)
    if is_log:
        axes.set_xscale("log")
        axes.set_xlim(min(0.8, 0.8 * low), 1.6 * high)
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.set_xlim(min(0.8, low - 0.05), max(1.2, high) + 0.1)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _precision(ratio: Ratio) -> str:
    first, second = ratio.numerator.split()[-1], ratio.denominator.split()[-1]
    return first if first == second and first in _COLOURS else "both"
