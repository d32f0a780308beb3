"""Elements fitted to trained kernels, so that a trained model keeps what it learned when its kernels become DCLS.

Axis legend: O output channels, I input channels of a group, R = O * I kernels of a layer, L layers that share
positions, K elements, M axes, T_a taps of axis a of the trained kernels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.swap.element_search import ElementSearch, num_candidates
from audio_dcls.errors import ArgumentError

TRANSFERS = ("random", "fit")
_CHUNK_NUMBERS = 2**24
"""Numbers in the largest array of the search, 128 MB: kernels are fitted chunk by chunk."""


@dataclass(frozen=True)
class LayerTransfer:
    """The transfer to one layer: its path in the model, the error of the fit, and whether a bias was copied."""

    name: str
    relative_error: float
    """Norm of the difference between its dense kernel and the trained one, over norm of the latter."""
    bias: bool


def fit_kernels(layers: Sequence[DclsConv], kernels: Sequence[Tensor], num_steps: int = 100) -> list[float]:
    """Set the positions, spreads and weights that come closest to trained kernels; see `element_search`.

    A smaller kernel keeps its centre: a 7x7 kernel becomes the middle of a 23x23 one. All layers have the same weight
    in the fit, whatever the norms of their kernels. Spreads that are not learned do not change. The fit is
    deterministic, and it is computed on the CPU in float64 for layers on any device.

    Args:
        layers: one layer, or all layers that share its positions; changed in place.
        kernels: one trained kernel per layer; along no axis larger than the layer's kernel.
        num_steps: gradient steps, at least 0; 100 steps take one core some seconds for a thousand kernels.

    Shape:
        kernels (O, I, T_0, .., T_{M-1})

    Returns:
        The relative error of each layer's kernel: norm of the difference over norm of the trained kernel.

    Raises:
        ArgumentError: counts or shapes do not fit, positions are not shared, or a layer has dense axes.

    >>> from audio_dcls.dcls.conv import DclsConv2d
    >>> layer, kernel = DclsConv2d(1, 1, 9, 11), torch.arange(9.0).reshape(1, 1, 3, 3)
    >>> fit_kernels([layer], [kernel])[0] < 1e-3
    True
    """
    if num_steps < 0:
        raise ArgumentError(f"`num_steps` (={num_steps}) must be at least 0")
    _check(layers, kernels)
    first = layers[0]
    taps = [max(counts) for counts in zip(*(kernel.shape[2:] for kernel in kernels), strict=True)]
    starts = [_start(count, size) for count, size in zip(taps, first.learned_size, strict=True)]
    trained = [_grow(kernel.detach().double().cpu(), taps).flatten(0, 1) for kernel in kernels]
    scales = [kernel.square().sum().div(len(kernel)).sqrt().clamp_min(1e-150) for kernel in trained]
    targets = torch.stack([kernel / scale for kernel, scale in zip(trained, scales, strict=True)], 1)
    held = None
    if first.spreads is not None and not isinstance(first.spreads, nn.Parameter):
        held = first.spreads.double().cpu().flatten(1, 2)
    searches = []
    widest = first.kernel_count * max(num_candidates(taps), len(layers) * math.prod(taps))
    for rows in torch.arange(len(targets)).split(max(1, _CHUNK_NUMBERS // widest)):
        spreads = None if held is None else held[:, rows]
        search = ElementSearch(targets[rows], starts, first.learned_size, first.form, first.kernel_count, spreads)
        search.refine(num_steps)
        searches.append(search)
    _write(layers, searches, scales)
    return [_relative_error(layer, kernel) for layer, kernel in zip(layers, kernels, strict=True)]


def _write(layers: Sequence[DclsConv], searches: Sequence[ElementSearch], scales: Sequence[Tensor]) -> None:
    """Write the results of the searches into the layers."""
    first = layers[0]
    weights = torch.cat([search.weights() for search in searches])
    with torch.no_grad():
        first.positions.copy_(torch.cat([search.positions for search in searches], 1).reshape(first.positions.shape))
        spreads = [search.spreads for search in searches if search.spreads is not None]
        if first.spreads is not None and spreads:
            first.spreads.copy_(torch.cat(spreads, 1).reshape(first.spreads.shape))
        for index, (layer, scale) in enumerate(zip(layers, scales, strict=True)):
            layer.weight.copy_((weights[..., index] * scale).reshape(layer.weight.shape))


def _relative_error(layer: DclsConv, kernel: Tensor) -> float:
    with torch.no_grad():
        trained = _grow(kernel.detach().double(), layer.learned_size)
        difference = layer.dense_kernel().double() - trained
        return float(difference.norm() / trained.norm().clamp_min(1e-150))


def _start(taps: int, size: int) -> int:
    """The first of `taps` taps within `size` taps, centre on centre."""
    return size // 2 - taps // 2


def _grow(kernel: Tensor, sizes: Sequence[int]) -> Tensor:
    """A kernel with zeros around it, (O, I, S_0, .., S_{M-1})."""
    pads: list[int] = []
    for taps, size in zip(reversed(kernel.shape[2:]), reversed(sizes), strict=True):
        before = _start(taps, size)
        pads += [before, size - taps - before]
    return F.pad(kernel, pads)


def _check(layers: Sequence[DclsConv], kernels: Sequence[Tensor]) -> None:
    if not layers or len(layers) != len(kernels):
        raise ArgumentError(f"`kernels` (={len(kernels)}) must be as many as `layers` (={len(layers)}), at least one")
    for layer, kernel in zip(layers, kernels, strict=True):
        if layer.positions is not layers[0].positions or layer.dense_axes:
            raise ArgumentError(
                "`layers` must share their positions and have no dense axes; fit other layers separately"
            )
        fits = [taps <= size for taps, size in zip(kernel.shape[2:], layer.dilated_kernel_size, strict=False)]
        if kernel.ndim != 2 + layer.num_axes or kernel.shape[:2] != layer.weight.shape[:2] or not all(fits):
            raise ArgumentError(
                f"`kernels` (shape {tuple(kernel.shape)}) must have shape {tuple(layer.weight.shape[:2])} and at most"
                f" {layer.dilated_kernel_size} taps"
            )
        if kernel.is_meta or layer.weight.is_meta:
            raise ArgumentError("`layers` and `kernels` on the meta device hold no numbers; load the model first")
        if not kernel.isfinite().all():
            raise ArgumentError("`kernels` must be finite, but one holds NaN or infinity; check the trained model")


def transfer_kernels(
    groups: Sequence[Sequence[str]], convs: Mapping[str, Any], layers: Mapping[str, DclsConv]
) -> tuple[LayerTransfer, ...]:
    """Fit the kernels of layers to those of trained convolutions, and copy the biases.

    `groups` are the names of layers that share positions; a layer that does not share is a group too. The convolutions
    and the layers, changed in place, are by name; the records are in the order of `layers`.
    """
    records = {}
    for names in groups:
        kernels = [_effective_kernel(convs[name], layers[name]) for name in names]
        errors = fit_kernels([layers[name] for name in names], kernels)
        for name, error in zip(names, errors, strict=True):
            bias = layers[name].bias
            if bias is not None:
                with torch.no_grad():
                    bias.copy_(convs[name].bias)
            records[name] = LayerTransfer(name, error, bias is not None)
    return tuple(records[name] for name in layers)


def _effective_kernel(conv: Any, layer: DclsConv) -> Tensor:
    """A convolution's kernel without dilation, with the centre of the layer's kernel.

    The centre of n taps is tap n // 2. With "same" padding and an even n, however, the output is at tap n // 2 - 1, so
    a zero is added if one of the two kernels has an even number of taps and the other an odd one.
    """
    kernel = conv.weight.detach()
    lengths = [step * (taps - 1) + 1 for taps, step in zip(conv.kernel_size, conv.dilation, strict=True)]
    spaced = kernel.new_zeros(*kernel.shape[:2], *lengths)
    spaced[(..., *(slice(None, None, step) for step in conv.dilation))] = kernel
    pads: list[int] = []
    for taps, size in zip(reversed(lengths), reversed(layer.dilated_kernel_size), strict=True):
        pads += [0, (taps - size) % 2] if taps % 2 else [(taps - size) % 2, 0]
    return F.pad(spaced, pads)
