"""Time and memory of each part of a model, and the time to build kernels next to the time to apply them (thesis, 2.13).

Axes: N spectrograms, H bands, W frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.functional import convolve
from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.inspection.print_style import COLOURS, head, legend, new_figure, tidy
from audio_dcls.speed.timing import time_interleaved

_NUM_ROUNDS = 5
_BUSY = 1.3
"""If medians are larger than the shortest times by this factor, other work ran at the same time."""
_MIN_SAMPLE_MS = 20.0
"""A shorter call is repeated within a sample; alone, it would mostly measure how long idle threads take to wake up."""
_MIB = 2**20
_BLOCK = re.compile(r"stages\.\d+\.(blocks\.\d+|downsample|pos_emb)")


def measure_parts(backbone: nn.Module, spectrograms: Tensor, num_rounds: int = _NUM_ROUNDS) -> list[dict[str, Any]]:
    """A row per part of a backbone, each run alone on its input inside the model, in turns and in the model's order.

    The shortest of several rounds is the least disturbed by other work on the machine. The backbone is in evaluation
    mode, and the spectrograms (N, 1, H, W) are normalised.
    """
    parts = _parts(backbone)
    inputs = _inputs_of(backbone, parts, spectrograms)
    calls: dict[str, Callable[[], object]] = {}
    for name, given in inputs.items():
        calls[f"{name} forward"] = partial(parts[name], given.requires_grad_())
        calls[f"{name} both"] = partial(_both, parts[name], given)
    times = time_interleaved(calls, num_rounds, spectrograms.device, min_sample_ms=_MIN_SAMPLE_MS)
    rows = []
    for name, given in inputs.items():
        forward, both = min(times[f"{name} forward"]), min(times[f"{name} both"])
        kept, output = _memory(parts[name], given)
        rows.append(
            {
                "part": name,
                "forward_ms": forward,
                "backward_ms": max(both - forward, 0.0),
                "median_over_least": float(np.median(times[f"{name} both"])) / both,
                "kept_mib": kept / _MIB,
                "output_mib": output / _MIB,
                "parameters": sum(p.numel() for p in parts[name].parameters()),
            }
        )
    return rows


def measure_construction(
    backbone: nn.Module, spectrograms: Tensor, num_rounds: int = _NUM_ROUNDS
) -> list[dict[str, Any]]:
    """As `measure_parts`, the times to build the kernel of each DCLS layer and to convolve with it; none is frozen."""
    layers = dcls_layers(backbone)
    if not layers:
        return []
    inputs = _inputs_of(backbone, dict(layers), spectrograms)
    calls: dict[str, Callable[[], object]] = {}
    for name, given in inputs.items():
        kernel = layers[name].dense_kernel().detach().requires_grad_()
        calls[f"{name} build"] = partial(_build, layers[name])
        calls[f"{name} apply"] = partial(_apply, layers[name], given.requires_grad_(), kernel)
    times = time_interleaved(calls, num_rounds, spectrograms.device, min_sample_ms=_MIN_SAMPLE_MS)
    return [
        {
            "layer": name,
            "channels": layers[name].out_channels,
            "map": "x".join(map(str, given.shape[2:])),
            "build_ms": min(times[f"{name} build"]),
            "convolve_ms": min(times[f"{name} apply"]),
            "median_over_least": float(np.median(times[f"{name} build"])) / min(times[f"{name} build"]),
        }
        for name, given in inputs.items()
    ]


def _unrest(rows: list[dict[str, Any]]) -> str:
    """A warning if other work ran during the measurement; otherwise an empty text."""
    typical = float(np.median([row["median_over_least"] for row in rows]))
    return f"; NOT QUIET: medians are {typical:.1f} times these" if typical > _BUSY else ""


def draw_parts(rows: list[dict[str, Any]], facts: str) -> Figure:
    """Draw the time of each part, and the memory that it keeps for the backward pass, as bars."""
    figure = new_figure(1, row_inches=0.9 + 0.15 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    places = np.arange(len(rows))[::-1]
    forward = np.array([row["forward_ms"] for row in rows])
    backward = np.array([row["backward_ms"] for row in rows])
    left.barh(places, forward, color=COLOURS[0], height=0.72, label="forward")
    left.barh(places, backward, left=forward, color=COLOURS[4], height=0.72, label="backward")
    left.set_yticks(places, [row["part"] for row in rows])
    legend(left, loc="best")
    tidy(left, x="ms")
    right.barh(places, [row["kept_mib"] for row in rows], color=COLOURS[2], height=0.72)
    tidy(right, x="MiB kept for backward")
    left.set_ylim(-0.7, len(rows) - 0.3)
    left.tick_params(axis="y", labelsize=6)
    total = f"{forward.sum():.0f} ms forward, {backward.sum():.0f} ms backward"
    head(figure, f"Time and memory of each part: {total}", facts + _unrest(rows))
    return figure


def draw_construction(rows: list[dict[str, Any]], facts: str) -> Figure:
    """Draw the times to build kernels and to convolve with them, two bars per layer."""
    figure = new_figure(1, row_inches=0.8 + 0.2 * len(rows))
    panel = figure.subplots()
    places = np.arange(len(rows))[::-1]
    build = np.array([row["build_ms"] for row in rows])
    apply = np.array([row["convolve_ms"] for row in rows])
    panel.barh(places, apply, color=COLOURS[0], height=0.72, label="convolution")
    panel.barh(places, build, left=apply, color=COLOURS[1], height=0.72, label="construction of the kernel")
    panel.set_yticks(places, [f"{row['layer']} ({row['channels']} ch, {row['map']})" for row in rows])
    panel.tick_params(axis="y", labelsize=6)
    tidy(panel, x="ms, forward and backward")
    panel.set_ylim(-0.7, len(rows) - 0.3)
    legend(panel, loc="best")
    share = 100 * build.sum() / (build.sum() + apply.sum())
    head(figure, f"Kernels are built in {share:.0f} % of the time that DCLS layers take", facts + _unrest(rows))
    return figure


def _parts(backbone: nn.Module) -> dict[str, nn.Module]:
    """Blocks, the modules between them, and the other children of the model, by name."""
    children = {name for name, _ in backbone.named_children()} - {"stages"}
    return {
        name: module
        for name, module in backbone.named_modules()
        if (name in children or _BLOCK.fullmatch(name)) and not isinstance(module, nn.Identity)
    }


@torch.no_grad()
def _inputs_of(backbone: nn.Module, parts: dict[str, Any], spectrograms: Tensor) -> dict[str, Tensor]:
    """The input of each part, in the order of the calls; parts that are not called are left out."""
    inputs: dict[str, Tensor] = {}

    def note(name: str, module: nn.Module, given: tuple[Any, ...]) -> None:
        del module
        inputs.setdefault(name, given[0].detach().clone())

    with ExitStack() as hooks:
        for name, module in parts.items():
            hooks.enter_context(module.register_forward_pre_hook(partial(note, name)))
        backbone(spectrograms)
    return inputs


def _both(part: nn.Module, given: Tensor) -> object:
    wanted = [given, *(p for p in part.parameters() if p.requires_grad)]
    output = part(given.requires_grad_())
    return torch.autograd.grad(output.sum(), wanted, allow_unused=True)


def _build(layer: DclsConv) -> object:
    wanted = [p for p in layer.parameters() if p is not layer.bias]
    if layer.factor_cache is not None:
        layer.factor_cache.clear()
    kernel = layer.dense_kernel()
    return torch.autograd.grad(kernel, wanted, torch.ones_like(kernel), allow_unused=True)


def _apply(layer: DclsConv, given: Tensor, kernel: Tensor) -> object:
    output = convolve(given, kernel, None, layer.stride, layer.padding, layer.groups, layer.padding_mode)
    return torch.autograd.grad(output, [given, kernel], torch.ones_like(output))


def _memory(part: nn.Module, given: Tensor) -> tuple[int, int]:
    """Bytes kept for the backward pass apart from parameters, and bytes of the output."""
    known = {p.untyped_storage().data_ptr() for p in (*part.parameters(), *part.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = part(given.requires_grad_())
    return sum(kept.values()), output.numel() * output.element_size()
