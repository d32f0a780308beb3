"""Rounds in turns, ratios and their spread, and the report's way to JSON and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audio_dcls.errors import ArgumentError
from audio_dcls.speed import BenchReport, BenchSettings, Case, Contender, Ratio, draw_report
from audio_dcls.speed.timing import time_interleaved

CPU = torch.device("cpu")


def test_every_round_calls_each_once_and_turns_the_order():
    calls: list[str] = []
    functions = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    times_ms = time_interleaved(functions, 3, CPU, num_warmups=1)
    assert {name: len(values) for name, values in times_ms.items()} == {"a": 3, "b": 3, "c": 3}
    rounds = ["".join(calls[start : start + 3]) for start in range(0, len(calls), 3)]
    assert rounds == ["cab", "abc", "bca", "cab"]


def test_short_calls_are_repeated_within_a_sample():
    calls: list[str] = []
    time_interleaved({"a": lambda: calls.append("a")}, 1, CPU, num_warmups=1, min_sample_ms=1)
    assert len(calls) > 10


def make_report() -> BenchReport:
    ours, theirs = Contender("dcls fp32", (2.0, 3.0, 2.5), 10.0), Contender("stock fp32", (2.0, 2.0, 2.5))
    ratios = (Ratio.of(ours, theirs), Ratio.of(theirs, ours))
    case = Case("train", "convnext_tiny", 8, "ms", (ours, theirs), ratios, ("a note",))
    machine = {"processor": "x", "threads": 2, "versions": {"torch": "2"}}
    return BenchReport(machine, BenchSettings().to_json_dict(), {"fp32": 8000.0}, (case,))


def test_ratio_and_its_spread_are_of_rounds():
    ratio = make_report().cases[0].ratio("dcls fp32", "stock fp32")
    assert ratio is not None
    assert ratio.median == np.median([1.0, 1.5, 1.0])
    assert (ratio.low, ratio.high) == tuple(np.quantile([1.0, 1.5, 1.0], [0.25, 0.75]))


def test_share_of_peak_is_operations_a_second_over_the_peak():
    report = make_report()
    assert report.share_of_peak(report.cases[0].contenders[0]) == pytest.approx(10.0 / 2.5e-3 / 8000)
    assert report.share_of_peak(report.cases[0].contenders[1]) is None


def test_report_goes_to_json_and_back(tmp_path):
    report = make_report()
    report.save(tmp_path / "bench.json")
    back = BenchReport.load(tmp_path / "bench.json")
    assert back.cases == report.cases and back.peaks_gflops == report.peaks_gflops


def test_figure_has_a_point_for_every_ratio():
    upper, lower = draw_report(make_report()).axes
    assert [label.get_text() for label in upper.get_yticklabels()] == ["train, convnext_tiny, N = 8: dcls ÷ stock fp32"]
    assert [label.get_text() for label in lower.get_yticklabels()] == ["train, convnext_tiny, N = 8: stock ÷ dcls fp32"]
    assert upper.lines[1].get_xdata()[0] == 1.0


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
