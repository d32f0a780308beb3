"""The suites of benchmarks.

Axes: B batch, C channels, H W rows and columns of a map.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.errors import ArgumentError
from audio_dcls.models import find_family
from audio_dcls.speed.flops import count_gflops
from audio_dcls.speed.layers import measure_layers
from audio_dcls.speed.machine import describe_machine, measure_peaks
from audio_dcls.speed.memory import measure_step_memory
from audio_dcls.speed.peers import INPUT_SHAPE, build_peer, find_authors_library
from audio_dcls.speed.report import BenchReport, Case, Contender, ratios_of
from audio_dcls.speed.settings import BenchSettings
from audio_dcls.speed.steps import make_inference, make_train_step
from audio_dcls.speed.timing import time_interleaved

_PEAK_ROUNDS = 7
_MEMORY_ROUNDS = 3
_FROZEN_BY_HAND = (
    "most of authors ÷ dcls at inference is kernels built on every call; frozen is the authors' model with its kernels "
    "built once, by hand, into torch's convolutions, against which only the convolution itself can be faster"
)
_NO_AUTHORS = "authors: not measured, their library is not installed (the package's extra `bench` brings it)"
_AUTHORS_FP32 = "authors: fp32 only; torch's bf16 convolution of 23x23 may never return on a CPU"
Progress = Callable[[str], object]


def run_benchmarks(settings: BenchSettings, progress: Progress = lambda text: None) -> BenchReport:
    """Measure everything in the settings, best on an otherwise idle machine; see `run_in_parts`."""
    *_, report = run_in_parts(settings, progress)
    return report


def run_in_parts(settings: BenchSettings, progress: Progress = lambda text: None) -> Iterator[BenchReport]:
    """Yield the report so far after each case, so that an interrupted benchmark keeps its results.

    `progress` is called with a short description of each measurement. Raises `ArgumentError` if the device does not
    exist, and `ModelError` if a model is unknown.
    """
    if settings.device not in ("cpu", "cuda") or (settings.device == "cuda" and not torch.cuda.is_available()):
        raise ArgumentError(f"`device` (={settings.device!r}) must be 'cpu', or 'cuda' if torch finds a CUDA device")
    for model_name in settings.models:
        find_family(model_name)
    device = torch.device(settings.device)
    progress("matrix products")
    peaks = measure_peaks(device, settings.precisions, _PEAK_ROUNDS)
    machine = describe_machine(device)
    report = BenchReport(machine, asdict(settings), peaks, ())
    for case in _measure(settings, device, progress):
        report = replace(report, cases=(*report.cases, case))
        yield report
    if not report.cases:
        yield report


def _measure(settings: BenchSettings, device: torch.device, progress: Progress) -> Iterator[Case]:
    for model_name in settings.models:
        if "construction" in settings.suites:
            yield _measure_construction(settings, model_name, device, progress)
        for batch in settings.batches:
            if "layer" in settings.suites:
                yield from measure_layers(settings, model_name, batch, device, progress)
            yield from _measure_model(settings, model_name, batch, device, progress)


def _measure_construction(settings: BenchSettings, model_name: str, device: torch.device, progress: Progress) -> Case:
    """Measure the construction of all kernels of a model, forward and backward."""
    peers = [peer for peer in _available(settings) if peer in ("dcls", "authors")]
    calls = {f"{peer} fp32": _make_construction(peer, model_name, device) for peer in peers}
    times_ms = time_interleaved(
        calls,
        settings.num_rounds,
        device,
        on_call=lambda name, index: progress(f"construction: {name}, round {index + 1}"),
    )
    contenders = tuple(Contender(name, tuple(values)) for name, values in times_ms.items())
    ratios = ratios_of(contenders, [("authors fp32", "dcls fp32")])
    return Case("construction", model_name, 1, "ms", contenders, ratios, _notes(settings, (), precisions=("fp32",)))


def _make_construction(peer: str, model_name: str, device: torch.device) -> Callable[[], None]:
    model = build_peer(peer, model_name).to(device)
    layers: list[Any] = [m for m in model.modules() if isinstance(m, DclsConv) or type(m).__name__ == "Dcls2d"]
    with torch.no_grad():
        gradients = [torch.randn(layer.out_channels, 1, *layer.dilated_kernel_size, device=device) for layer in layers]

    def build(layer: Any) -> torch.Tensor:
        return layer.dense_kernel() if peer == "dcls" else layer.DCK(layer.weight, layer.P, layer.SIG)

    def construct() -> None:
        model.zero_grad(set_to_none=True)
        torch.autograd.backward([build(layer) for layer in layers], gradients)

    return construct


def _measure_model(
    settings: BenchSettings, model_name: str, batch: int, device: torch.device, progress: Progress
) -> Iterator[Case]:
    """Measure training steps, inference and memory of whole models."""
    for suite, make in (("train", make_train_step), ("inference", make_inference)):
        if suite not in settings.suites:
            continue
        calls = {}
        frozen = [("frozen", "fp32")] if suite == "inference" and "authors" in _available(settings) else []
        for peer, precision in _pairs(settings) + frozen:
            progress(f"{suite} {model_name} x {batch}: building {peer} {precision}")
            calls[f"{peer} {precision}"] = make(peer, model_name, batch, precision, device)
        times_ms = time_interleaved(
            calls,
            settings.num_rounds,
            device,
            num_warmups=2,
            on_call=lambda name, index, title=f"{suite} {model_name} x {batch}": progress(
                f"{title}: {name}, round {index + 1} of {settings.num_rounds}"
            ),
        )
        yield _model_case(settings, suite, model_name, batch, times_ms)
        del calls
        gc.collect()
    if "memory" in settings.suites:
        yield _measure_memory(settings, model_name, batch, progress)


def _model_case(
    settings: BenchSettings, suite: str, model_name: str, batch: int, times_ms: dict[str, list[float]]
) -> Case:
    gflops: dict[str, tuple[float, float]] = {}
    if suite == "inference":
        for peer in ("dcls", "stock"):
            gflops[peer] = count_gflops(build_peer(peer, model_name), (batch, *INPUT_SHAPE))
        gflops |= {"authors": gflops["dcls"], "frozen": gflops["dcls"], "7x7": gflops["stock"]}
    contenders = tuple(
        Contender(name, tuple(values), gflops.get(name.split()[0], (None,))[0]) for name, values in times_ms.items()
    )
    notes = [_FROZEN_BY_HAND] if suite == "inference" and "authors fp32" in times_ms else []
    if "dcls" in gflops:
        nominal, needed = (number / batch for number in gflops["dcls"])
        notes.append(f"{model_name}, dcls: {nominal:.2f} GFLOP per clip, of which {needed:.2f} do not meet padding")
    pairs = [(f"dcls {p}", f"{other} {p}") for p in settings.precisions for other in ("7x7", "stock")]
    pairs += [("authors fp32", "dcls fp32"), ("frozen fp32", "dcls fp32"), ("dcls fp32", "dcls bf16")]
    return Case(suite, model_name, batch, "ms", contenders, ratios_of(contenders, pairs), _notes(settings, notes))


def _measure_memory(settings: BenchSettings, model_name: str, batch: int, progress: Progress) -> Case:
    values: dict[str, list[float]] = {}
    for index in range(min(_MEMORY_ROUNDS, settings.num_rounds)):
        for peer, precision in _pairs(settings):
            name = f"{peer} {precision}"
            progress(f"memory {model_name} x {batch}: {name}, round {index + 1}")
            arguments = (peer, model_name, batch, precision, settings.device, torch.get_num_threads())
            values.setdefault(name, []).append(measure_step_memory(*arguments))
    contenders = tuple(Contender(name, tuple(found)) for name, found in values.items())
    pairs = [(f"dcls {p}", f"{other} {p}") for p in settings.precisions for other in ("7x7", "stock")]
    pairs.append(("authors fp32", "dcls fp32"))
    return Case("memory", model_name, batch, "MiB", contenders, ratios_of(contenders, pairs), _notes(settings, ()))


def _available(settings: BenchSettings) -> list[str]:
    has_authors = find_authors_library() is not None
    return [peer for peer in settings.peers if peer != "authors" or has_authors]


def _pairs(settings: BenchSettings) -> list[tuple[str, str]]:
    """The pairs of peer and precision that can be measured."""
    return [(p, q) for p in _available(settings) for q in settings.precisions if (p, q) != ("authors", "bf16")]


def _notes(settings: BenchSettings, notes: Any, precisions: Sequence[str] | None = None) -> tuple[str, ...]:
    if "authors" not in settings.peers:
        return tuple(notes)
    if "authors" not in _available(settings):
        return (*notes, _NO_AUTHORS)
    return (*notes, _AUTHORS_FP32) if "bf16" in (precisions or settings.precisions) else tuple(notes)
