"""Receptive fields of units: in theory, by the sizes of kernels, and in effect, by gradients (thesis, 2.12 and 6.1).

Axis legend: N spectrograms, H bands, W frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.errors import ArgumentError, NothingToShowError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inspection.print_style import SEQUENTIAL, colour_bar, head, new_figure, tidy

_GLOBAL = (math.inf, math.inf)
_TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16_000)
_GLOBAL_CALLS = ("mean", "matmul", "bmm", "scaled_dot_product_attention", "adaptive_avg_pool2d", "adaptive_max_pool2d")
_GLOBAL_MODULES = ("Adaptive", "Attention")
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class Reach:
    """The part of the input that can influence a unit of a map."""

    size: tuple[float, float]
    """Cells along each axis, both ends included; infinity for the whole input."""
    jump: tuple[float, float]
    """Cells of the input between neighbouring units."""

    def through(self, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Reach:
        """The reach after a convolution or pooling: (taps - 1) x dilation jumps more (Araujo et al., 2019)."""
        size = tuple(s + (k - 1) * d * j for s, j, k, d in zip(self.size, self.jump, kernel, dilation, strict=True))
        jump = tuple(j * s for j, s in zip(self.jump, stride, strict=True))
        return Reach(size, jump)  # type: ignore[arg-type]

    @staticmethod
    def joined(several: Sequence[Reach]) -> Reach:
        """The reach of a unit that combines several maps: the widest."""
        return Reach(
            (max(r.size[0] for r in several), max(r.size[1] for r in several)),
            (max(r.jump[0] for r in several), max(r.jump[1] for r in several)),
        )


class _Tracer(fx.Tracer):
    """Does not trace into convolutions or into modules without children."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del module_qualified_name
        return isinstance(m, (DclsConv, nn.Conv2d)) or not any(True for _ in m.children())


def theoretical_reach(network: nn.Module, wanted: Callable[[str], bool]) -> dict[str, Reach]:
    """Receptive fields by the sizes and strides of the kernels alone, for any weights.

    Args:
        network: maps (N, 1, H, W) to anything; traced, not run.
        wanted: true for the names of the modules to return.

    Returns:
        The reach of the outputs of these modules, in the order they are computed.

    Raises:
        ArgumentError: the network cannot be traced.

    >>> net = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, (1, 5)))
    >>> theoretical_reach(net, lambda name: name == "1")["1"].size
    (3, 11)
    """
    try:
        graph = _Tracer().trace(network)
    except (TraceError, TypeError, RuntimeError) as error:
        raise ArgumentError(f"`network` (a {type(network).__name__}) cannot be traced: {error}") from error
    modules = dict(network.named_modules())
    reaches: dict[fx.Node, Reach] = {}
    found: dict[str, Reach] = {}
    for node in graph.nodes:
        reach = _reach_of(node, modules, reaches)
        if reach is not None:
            reaches[node] = reach
            found |= {name: reach for name in _inside(node) if wanted(name)}
    return found


def _reach_of(node: fx.Node, modules: dict[str, nn.Module], reaches: dict[fx.Node, Reach]) -> Reach | None:
    if node.op == "placeholder":
        return Reach((1, 1), (1, 1))
    sources = [reaches[source] for source in node.all_input_nodes if source in reaches]
    if not sources:
        return None
    before = Reach.joined(sources)
    if node.op == "call_module":
        module: Any = modules[str(node.target)]
        if isinstance(module, (DclsConv, nn.Conv2d)):
            return before.through(module.kernel_size, module.stride, module.dilation)
        if isinstance(module, _POOLS):
            sizes = (module.kernel_size, module.stride, getattr(module, "dilation", 1))
            return before.through(*map(_pair, sizes))
        if any(word in type(module).__name__ for word in _GLOBAL_MODULES):
            return Reach(_GLOBAL, before.jump)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if node.op != "call_module" and name in _GLOBAL_CALLS:
        return Reach(_GLOBAL, before.jump)
    return before


def _inside(node: fx.Node) -> list[str]:
    """Names of the modules that compute a node."""
    names = [str(path) for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    return names + ([str(node.target)] if node.op == "call_module" else [])


def reach_table(reaches: dict[str, Reach], frontend: FrontendConfig) -> list[dict[str, Any]]:
    """A row per module: its reach in cells, in seconds, as a share of the bands, and in Hz with its middle at 1 kHz."""
    return [
        {
            "module": name,
            "bands": reach.size[0],
            "frames": reach.size[1],
            "seconds": _in_seconds(reach.size[1], frontend),
            "band_share": min(1.0, reach.size[0] / frontend.num_mels),
            **_around_1_khz(reach.size[0], frontend),
            "jump_bands": reach.jump[0],
            "jump_frames": reach.jump[1],
        }
        for name, reach in reaches.items()
    ]


def _in_seconds(num_frames: float, frontend: FrontendConfig) -> float:
    """The duration of frames, with the whole windows of the first and the last.

    >>> _in_seconds(1, FrontendConfig()), _in_seconds(101, FrontendConfig())
    (0.032, 1.032)
    """
    return ((num_frames - 1) * frontend.hop_samples + frontend.fft_size) / frontend.sample_rate_hz


def effective_field(features: Callable[[Tensor], Tensor], spectrograms: Tensor) -> np.ndarray:
    """The influence of each cell on the middle unit of a map: the mean over clips of the gradient's absolute value.

    The gradient is that of the sum over channels of the map's middle (Luo et al., 2016; thesis, section 2.5).

    `features` maps (N, 1, H, W) to (N, C, h, w), in evaluation mode. The spectrograms are normalised and of real clips;
    they pass one at a time, so memory does not grow with their number. The result (H, W) sums to 1.
    """
    total = np.zeros(tuple(spectrograms.shape[-2:]))
    for spectrogram in spectrograms:
        cells = spectrogram[None].detach().clone().requires_grad_()
        maps = features(cells)
        middle = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum()
        (gradient,) = torch.autograd.grad(middle, cells)
        total += gradient[0, 0].abs().double().cpu().numpy()
    if not total.sum() > 0:
        raise NothingToShowError(
            "no cell influences the middle of the map; its weights are zero, train the model first"
        )
    return total / total.sum()


def area_share(field: np.ndarray, share: float) -> float:
    """The area, as a part of the whole, of the smallest rectangle around the middle of a field (H, W), with its
    proportions, that contains a share of it; small for a narrow field (Ding et al., 2022, table 11).

    >>> area_share(np.ones((9, 9)) / 81, 1.0), area_share(np.pad([[1.0]], 4), 0.5)
    (1.0, 0.012345679012345678)
    """
    if not 0 < share <= 1:
        raise ArgumentError(f"`share` (={share}) must be above 0 and at most 1")
    rows, columns = field.shape
    middle_row, middle_column = rows // 2, columns // 2
    for part in np.linspace(0, 1, 2 * max(rows, columns) + 1):
        half_rows, half_columns = round(part * rows / 2), round(part * columns / 2)
        top, bottom = max(0, middle_row - half_rows), min(rows, middle_row + half_rows + 1)
        left, right = max(0, middle_column - half_columns), min(columns, middle_column + half_columns + 1)
        if field[top:bottom, left:right].sum() >= share * field.sum() * (1 - 1e-12):
            return float((bottom - top) * (right - left) / field.size)
    return 1.0


def draw_effective_fields(fields: dict[str, np.ndarray], frontend: FrontendConfig, facts: str) -> Figure:
    """Draw effective receptive fields (H, W) next to each other, by title, over seconds and mel bands."""
    figure = new_figure(1, row_inches=2.8)
    panels = figure.subplots(1, len(fields), squeeze=False, sharey=True)[0]
    for panel, (name, field) in zip(panels, fields.items(), strict=True):
        seconds = field.shape[1] * frontend.hop_samples / frontend.sample_rate_hz
        shown = np.log10(np.maximum(field / field.max(), 1e-6))
        extent = (-seconds / 2, seconds / 2, 0, len(field))
        image = panel.imshow(shown, origin="lower", aspect="auto", cmap=SEQUENTIAL, extent=extent, vmin=-4)
        areas = " / ".join(f"{100 * area_share(field, part):.1f}" for part in (0.2, 0.5, 0.9))
        tidy(panel, x="time from the middle, s", title=f"{name}\n{areas} %")
        hz_axis(panel, frontend)
        if panel is not panels[0]:
            panel.set_ylabel("")
    colour_bar(figure, image, panels, "log10 of the share of the largest", 7, fraction=0.04, pad=0.02)
    facts = f"{facts}; in the titles: area that contains 20 / 50 / 90 % of the field"
    head(figure, "Effective receptive field of the last map's middle", facts)
    return figure


def hz_axis(panel: Any, frontend: FrontendConfig, ticks_hz: Sequence[float] = _TICKS_HZ) -> None:
    """Set the ticks of a band axis in Hz, at the bands' centres on the HTK scale."""
    wanted = np.array(ticks_hz, dtype=float)
    wanted = wanted[(wanted > frontend.low_hz) & (wanted < frontend.high_hz)]
    panel.set_yticks(_band_of(wanted, frontend), [f"{hz:g}" if hz < 1000 else f"{hz / 1000:g}k" for hz in wanted])
    panel.set_ylabel("frequency, Hz", fontsize=8)


def _band_of(hz: np.ndarray, frontend: FrontendConfig) -> np.ndarray:
    """Place on a band axis whose first band covers 0 to 1, on the HTK scale."""
    mel = 2595 * np.log10(1 + np.array([frontend.low_hz, frontend.high_hz, *hz]) / 700)
    return (mel[2:] - mel[0]) / (mel[1] - mel[0]) * (frontend.num_mels + 1) - 0.5


def _around_1_khz(num_bands: float, frontend: FrontendConfig) -> dict[str, float]:
    """Lowest and highest frequency of bands whose middle is at 1 kHz, in Hz, within the frontend's."""
    (middle,) = _band_of(np.array([1000.0]), frontend)
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (frontend.low_hz, frontend.high_hz))
    edges = np.array([middle - num_bands / 2, middle + num_bands / 2]) + 0.5
    mel = low + np.clip(edges, 0, frontend.num_mels + 1) / (frontend.num_mels + 1) * (high - low)
    from_hz, to_hz = 700 * (10 ** (mel / 2595) - 1)
    return {"from_hz_at_1_khz": float(from_hz), "to_hz_at_1_khz": float(to_hz)}


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
