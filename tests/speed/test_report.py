"""Ratios and their spread, the report as JSON, and its figure."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from audio_dcls.speed import BenchReport, BenchSettings, Case, Contender, Ratio, draw_report


def make_report() -> BenchReport:
    ours, theirs = Contender("dcls fp32", (2.0, 3.0, 2.5), 10.0), Contender("stock fp32", (2.0, 2.0, 2.5))
    ratios = (Ratio.of(ours, theirs), Ratio.of(theirs, ours))
    case = Case("train", "convnext_tiny", 8, "ms", (ours, theirs), ratios, ("a note",))
    machine = {"processor": "x", "threads": 2, "versions": {"torch": "2"}}
    return BenchReport(machine, dataclasses.asdict(BenchSettings()), {"fp32": 8000.0}, (case,))


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
