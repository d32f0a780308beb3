"""The kernels that elements build: their pictures, their energy, and their magnitude response (thesis, chapter 2).

Axis legend: C channels, S0 and S1 taps along frequency and time, K elements.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.errors import ArgumentError
from audio_dcls.inspection.print_style import (
    COLOURS,
    DIVERGING,
    SEQUENTIAL,
    colour_bar,
    head,
    new_figure,
    panel_grid,
    tidy,
)

_GRID_COLUMNS = 6
_SHOWN_ENERGY = 0.999
"""Share of the energy that the drawn part of the kernels holds."""
_LEAST_TAPS = 3


def dense_kernels(layer: DclsConv) -> np.ndarray:
    """The kernels of a depthwise layer over two axes, (C, S0, S1), float64."""
    if not layer.is_depthwise or len(layer.kernel_size) != 2:
        raise ArgumentError(
            f"`layer` ({layer}) must be depthwise over two axes; others have several kernels per channel"
        )
    with torch.no_grad():
        return layer.dense_kernel()[:, 0].double().cpu().numpy()


def radial_energy(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances 0, 1, 2, … from the centre in taps, and the share of the energy of kernels (C, S0, S1) within half a
    tap of each; the shares sum to 1.

    >>> ring = np.zeros((1, 5, 5)); ring[0, 0, 2] = ring[0, 4, 2] = 1.0
    >>> radial_energy(ring)[1].tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    rows, columns = (np.arange(size) - size // 2 for size in kernels.shape[1:])
    distances = np.rint(np.hypot(rows[:, None], columns[None, :])).astype(int)
    energy = np.square(kernels).sum(axis=0)
    shares = np.bincount(distances.ravel(), weights=energy.ravel()) / energy.sum()
    return np.arange(len(shares)), shares


def mean_spectrum(kernels: np.ndarray, size: int = 64) -> np.ndarray:
    """Mean magnitude (size, size) of the Fourier transform of kernels (C, S0, S1), zero frequency in the middle."""
    return np.fft.fftshift(np.abs(np.fft.fft2(kernels, (size, size))).mean(axis=0))


def draw_kernels(layer: DclsConv, title: str, facts: str, channels: tuple[int, ...] | None = None) -> Figure:
    """Draw kernels of channels (by default the eighteen with the largest norms), with the centres of their elements and
    ellipses of one spread.
    """
    kernels = dense_kernels(layer)
    if channels is None:
        channels = largest_channels(layer)
    unknown = [channel for channel in channels if not 0 <= channel < len(kernels)]
    if unknown or not channels:
        raise ArgumentError(f"`channels` (={channels}) must hold a channel or more, each from 0 to {len(kernels) - 1}")
    figure, panels = panel_grid(len(channels), _GRID_COLUMNS, row_inches=1.25)
    reach = _shown_taps(kernels[list(channels)])
    for panel, channel in zip(panels, channels, strict=False):
        _draw_one(panel, layer, kernels[channel], channel)
        panel.set_xlim(-reach - 0.5, reach + 0.5)
        panel.set_ylim(-reach - 0.5, reach + 0.5)
    for panel in panels[::_GRID_COLUMNS]:
        panel.set_ylabel("frequency", fontsize=6)
    for panel in panels[max(0, len(channels) - _GRID_COLUMNS) : len(channels)]:
        panel.set_xlabel("time, taps", fontsize=6)
    shown = f"middle {2 * reach + 1} taps, {100 * _SHOWN_ENERGY:g} % of the energy"
    head(figure, f"Kernels of {title}, by channel", f"{facts}; {shown}")
    return figure


def largest_channels(layer: DclsConv, most: int = 3 * _GRID_COLUMNS) -> tuple[int, ...]:
    """The channels whose kernels have the largest norms, in ascending order."""
    norms = np.square(dense_kernels(layer)).sum(axis=(1, 2))
    return tuple(sorted(int(c) for c in np.argsort(-norms)[:most]))


def element_rows(layer: DclsConv, channels: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row per element of some channels: weight, position and effective spread along both axes, in taps."""
    positions, spreads = _numbers(layer.positions)[:, :, 0], layer.form.effective_spreads(layer.spreads)
    widths = None if spreads is None else _numbers(spreads)[:, :, 0]
    weights = _numbers(layer.weight)[:, 0]
    return [
        {
            "channel": channel,
            "element": element,
            "weight": float(weights[channel, element]),
            "frequency": float(positions[0, channel, element]),
            "time": float(positions[1, channel, element]),
            "frequency_spread": None if widths is None else float(widths[0, channel, element]),
            "time_spread": None if widths is None else float(widths[1, channel, element]),
        }
        for channel in channels
        for element in range(weights.shape[1])
    ]


def _numbers(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()


def _shown_taps(kernels: np.ndarray) -> int:
    """Distance from the centre in taps that contains nearly all energy of all kernels, at least 3."""
    energy = np.square(kernels).sum(axis=0)
    rows, columns = (np.abs(np.arange(size) - size // 2) for size in energy.shape)
    distances = np.maximum(rows[:, None], columns[None, :])
    inside = np.cumsum(np.bincount(distances.ravel(), weights=energy.ravel())) / energy.sum()
    return max(_LEAST_TAPS, int(np.searchsorted(inside, _SHOWN_ENERGY)) + 1)


def _draw_one(panel: Any, layer: DclsConv, kernel: np.ndarray, channel: int) -> None:
    first = [-(size // 2) for size in kernel.shape]
    extent = (first[1] - 0.5, first[1] + kernel.shape[1] - 0.5, first[0] - 0.5, first[0] + kernel.shape[0] - 0.5)
    most = max(float(np.abs(kernel).max()), 1e-12)
    panel.imshow(kernel, origin="lower", extent=extent, cmap=DIVERGING, vmin=-most, vmax=most, interpolation="nearest")
    positions = _numbers(layer.positions)[:, channel, 0].reshape(2, -1)
    spreads = layer.form.effective_spreads(layer.spreads)
    panel.plot(positions[1], positions[0], ".", color="black", markersize=1.6)
    if spreads is not None:
        widths = _numbers(spreads)[:, channel, 0].reshape(2, -1)
        for place in range(positions.shape[1]):
            centre = (positions[1, place], positions[0, place])
            width, height = 2 * widths[1, place], 2 * widths[0, place]
            panel.add_patch(Ellipse(centre, width, height, fill=False, linewidth=0.35, edgecolor="black"))
    panel.set_title(f"{channel}", fontsize=6, pad=1.5)
    panel.tick_params(labelsize=5, width=0.4, length=1.5, pad=1)
    panel.spines[:].set_linewidth(0.4)


def draw_energy(layers: dict[str, DclsConv], facts: str) -> Figure:
    """Draw the energy of depthwise layers' kernels by distance from the centre, and the mean of their spectra."""
    figure = new_figure(1, row_inches=2.6)
    by_distance, spectrum = figure.subplots(1, 2)
    spectra = []
    for colour, (name, layer) in zip(itertools.cycle(COLOURS), layers.items(), strict=False):
        kernels = dense_kernels(layer)
        by_distance.plot(*radial_energy(kernels), "o-", markersize=2.5, linewidth=1.1, color=colour, label=name)
        norms = np.sqrt(np.square(kernels).sum(axis=(1, 2), keepdims=True))
        spectra.append(mean_spectrum(kernels / np.maximum(norms, 1e-12)))
    tidy(by_distance, x="distance from the centre, taps", y="share of energy")
    by_distance.legend(fontsize=6, frameon=False)
    image = spectrum.imshow(np.mean(spectra, axis=0), origin="lower", cmap=SEQUENTIAL, extent=(-0.5, 0.5, -0.5, 0.5))
    along_time, along_frequency = "modulation along time, cycles per tap", "along frequency, cycles per tap"
    tidy(spectrum, x=along_time, y=along_frequency, title="mean magnitude, all layers")
    colour_bar(figure, image, spectrum, "magnitude, kernels of norm 1", fraction=0.046)
    head(figure, "Energy of the kernels", facts)
    return figure
