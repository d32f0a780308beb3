"""Every suite at its smallest size, and peers that compute the same output as our model."""

from __future__ import annotations

import copy

import pytest
import torch

from audio_dcls.errors import ArgumentError
from audio_dcls.speed import BenchSettings, run_benchmarks
from audio_dcls.speed import layers as layers_module
from audio_dcls.speed import machine as machine_module
from audio_dcls.speed import suites as suites_module
from audio_dcls.speed import timing as timing_module
from audio_dcls.speed.memory import measure_step_memory
from audio_dcls.speed.peers import build_peer, make_input, use_authors_layers

SMALL = "convnext_atto"


def test_authors_peer_computes_what_ours_computes_and_shares_as_ours_does():
    torch.manual_seed(0)
    ours = build_peer("dcls", SMALL).eval()
    theirs = copy.deepcopy(ours)
    use_authors_layers(theirs)
    layers = [module for module in theirs.modules() if type(module).__name__ == "Dcls2d"]
    assert len(layers) == 12 and len({id(layer.P) for layer in layers}) == 4
    x = make_input(1, torch.device("cpu"))[0]
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), ours(x), rtol=1e-4, atol=1e-5)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Small matrix products, and no garbage collection of the whole test process."""
    monkeypatch.setattr(machine_module, "_PEAK_SIZE", {"cpu": 64})
    monkeypatch.setattr(timing_module.gc, "collect", lambda: 0)


def test_inference_and_layers(monkeypatch):
    monkeypatch.setattr(layers_module, "_SAMPLE_MS", 0.0)
    settings = BenchSettings(("layer", "inference"), (SMALL,), (1,), ("fp32", "bf16"), ("dcls", "7x7"), num_rounds=1)
    *layers, inference = run_benchmarks(settings).cases
    assert len(layers) == 4 * 2 * 3
    wide = [case for case in layers if "23x23" in case.subject and "64x62" in case.subject]
    assert len(wide) == 3 and all("never return" in case.notes[0] for case in wide)
    assert all(case.ratio("torch fp32", "ours fp32") is not None for case in layers)
    assert {one.name for one in inference.contenders} == {"dcls fp32", "dcls bf16", "7x7 fp32", "7x7 bf16"}
    assert inference.ratio("dcls fp32", "dcls bf16") is not None


@pytest.mark.slow
def test_every_suite_measures_every_peer():
    settings = BenchSettings(models=(SMALL,), batches=(1,), num_rounds=1, precisions=("fp32",))
    progress: list[str] = []
    report = run_benchmarks(settings, progress.append)
    by_suite = {case.suite: case for case in report.cases}
    assert set(by_suite) == {"construction", "layer", "train", "inference", "memory"}
    for suite in ("train", "inference", "memory"):
        names = {contender.name for contender in by_suite[suite].contenders}
        assert names - {"frozen fp32"} == {"dcls fp32", "7x7 fp32", "stock fp32", "authors fp32"}
        assert ("frozen fp32" in names) == (suite == "inference")
        assert all(min(contender.values) > 0 for contender in by_suite[suite].contenders)
        assert by_suite[suite].ratio("dcls fp32", "7x7 fp32") is not None
    assert by_suite["inference"].contenders[0].gflops is not None
    assert by_suite["construction"].ratio("authors fp32", "dcls fp32") is not None
    assert sum(case.suite == "layer" for case in report.cases) == 4 * 2 * 3
    assert any("by hand" in note for note in by_suite["inference"].notes)
    assert progress


def test_without_the_authors_library_the_report_says_so(monkeypatch):
    monkeypatch.setattr(suites_module, "find_authors_library", lambda: None)
    settings = BenchSettings(("construction",), (SMALL,), num_rounds=1, precisions=("fp32",))
    (case,) = run_benchmarks(settings).cases
    assert [contender.name for contender in case.contenders] == ["dcls fp32"]
    assert any("not installed" in note and "extra `bench`" in note for note in case.notes)


@pytest.mark.slow
def test_a_larger_batch_takes_more_memory():
    small, large = (measure_step_memory("stock", SMALL, batch, "fp32", "cpu", 1) for batch in (1, 4))
    assert 0 < small < large


def test_a_device_that_does_not_exist_is_refused():
    with pytest.raises(ArgumentError, match="tpu"):
        run_benchmarks(BenchSettings(device="tpu"))
