"""Where elements start: normal, uniform, on a grid, or where a trained kernel is large.

Axis legend: O output channels, I input channels of a group, K elements, M learned axes, S_a taps of axis a, D.. dense
axes.

Layers that share positions are initialised together: give any one of them, except for `fit_kernels`, which takes all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.kernel import axis_factors
from audio_dcls.errors import ArgumentError


def place_normal(layer: DclsConv, std_taps: float = 0.5, generator: torch.Generator | None = None) -> None:
    """Draw positions around the centre, clamped into the kernel; the authors' choice.

    Args:
        layer: changed in place.
        std_taps: standard deviation, in taps.
        generator: source of the values.
    """
    with torch.no_grad():
        for coordinates, taps in zip(layer.positions, layer.learned_size, strict=True):
            coordinates.normal_(0, std_taps, generator=generator).clamp_(-(taps // 2), taps // 2)


def place_uniform(layer: DclsConv, generator: torch.Generator | None = None) -> None:
    """Draw positions anywhere in the kernel, between its first and last tap.

    Args:
        layer: changed in place.
        generator: source of the values.
    """
    with torch.no_grad():
        for coordinates, taps in zip(layer.positions, layer.learned_size, strict=True):
            coordinates.uniform_(-(taps // 2), taps - 1 - taps // 2, generator=generator)


def place_grid(layer: DclsConv) -> None:
    """Spread the elements of every kernel evenly over it, as a dilated convolution would.

    The grid is the most even one of at least K points; where it has more, those nearest to the centre are taken.

    Args:
        layer: changed in place.
    """
    points = _grid_points(layer.learned_size, layer.kernel_count)
    with torch.no_grad():
        for coordinates, values in zip(layer.positions, points, strict=True):
            coordinates.copy_(values.to(coordinates))


def fit_kernels(layers: Sequence[DclsConv], kernels: Sequence[Tensor]) -> list[float]:
    """Place elements where trained kernels are large, and give them the weights that come closest to the kernels.

    Each channel's K elements go to its K largest taps, by root mean square over the layers (which share positions when
    there are several), and the weights solve a least-squares problem. A smaller kernel keeps its centre: a 7x7 one
    lands in the middle of a 23x23 one. Spreads stay as they are; elements beyond the number of taps stay on the centre.

    Args:
        layers: one layer, or all layers that share its positions; changed in place.
        kernels: a trained kernel for each layer, along no axis larger than the layer's.

    Shape:
        kernels (O, I, T_0, .., T_{N-1})

    Returns:
        The relative error of each layer's kernel, 0 to 1: norm of the difference over norm of the trained one.

    Raises:
        ArgumentError: counts or shapes do not fit, positions are not shared, or a layer has dense axes.
    """
    grown = _check_and_grow(layers, kernels)
    first = layers[0]
    strength = torch.stack(grown).square().mean(0).flatten(2)
    num_placed = min(first.kernel_count, strength.shape[-1])
    taps = strength.topk(num_placed, dim=-1).indices
    with torch.no_grad():
        for axis, size in reversed(list(enumerate(first.dilated_kernel_size))):
            first.positions[axis].zero_()
            first.positions[axis][..., :num_placed] = (taps % size - size // 2).to(first.positions.dtype)
            taps = taps // size
        return [_fit_weights(layer, kernel) for layer, kernel in zip(layers, grown, strict=True)]


def _fit_weights(layer: DclsConv, kernel: Tensor) -> float:
    """Least squares in float64: elements (K) -> taps (S_0 ... S_{N-1}), for each pair of channels."""
    spreads = None if layer.spreads is None else layer.spreads.double()
    shapes = axis_factors(layer.positions.double(), spreads, layer.learned_size, layer.form)
    basis = shapes[0]
    for other in shapes[1:]:
        basis = (basis.unsqueeze(-1) * other.unsqueeze(-2)).flatten(-2)
    target = kernel.double().flatten(2).unsqueeze(-1)
    # Elements that sit together on the centre make this singular: the smallest solution shares their weight.
    weight = torch.linalg.pinv(basis.transpose(-1, -2), rtol=1e-9) @ target
    layer.weight.copy_(weight.squeeze(-1).to(layer.weight.dtype))
    difference = (basis.transpose(-1, -2) @ weight - target).norm()
    return float(difference / target.norm().clamp_min(torch.finfo(torch.float64).tiny))


def _check_and_grow(layers: Sequence[DclsConv], kernels: Sequence[Tensor]) -> list[Tensor]:
    """Kernels with zeros around them, as large as the layers'."""
    if not layers or len(layers) != len(kernels):
        raise ArgumentError(f"`kernels` (={len(kernels)}) must be as many as `layers` (={len(layers)}), at least one")
    grown = []
    for layer, kernel in zip(layers, kernels, strict=True):
        if layer.positions is not layers[0].positions or layer.dense_axes:
            raise ArgumentError(
                "`layers` must share their positions and have no dense axes; fit the others by themselves"
            )
        fits = [taps <= size for taps, size in zip(kernel.shape[2:], layer.dilated_kernel_size, strict=False)]
        if kernel.ndim != 2 + layer.num_axes or kernel.shape[:2] != layer.weight.shape[:2] or not all(fits):
            raise ArgumentError(
                f"`kernels` (shape {tuple(kernel.shape)}) must have shape {tuple(layer.weight.shape[:2])} and at most"
                f" {layer.dilated_kernel_size} taps"
            )
        large = kernel.new_zeros(*kernel.shape[:2], *layer.dilated_kernel_size)
        window = tuple(
            slice(size // 2 - taps // 2, size // 2 - taps // 2 + taps)
            for size, taps in zip(layer.dilated_kernel_size, kernel.shape[2:], strict=True)
        )
        large[(..., *window)] = kernel.detach()
        grown.append(large)
    return grown


def _grid_points(sizes: Sequence[int], num_points: int) -> Tensor:
    """Evenly spaced points, (M, K), in taps from the centre."""
    counts = min(_row_counts(len(sizes), num_points), key=lambda c: _unevenness(sizes, c, num_points))
    rows = [
        [(index + 0.5) * taps / count - 0.5 - taps // 2 for index in range(count)]
        for taps, count in zip(sizes, counts, strict=True)
    ]
    middle = [(taps - 1) / 2 - taps // 2 for taps in sizes]
    nearest = sorted(itertools.product(*rows), key=lambda point: (math.dist(point, middle), point))
    return torch.tensor(nearest[:num_points]).T


def _row_counts(num_axes: int, num_points: int) -> Iterator[tuple[int, ...]]:
    """Numbers of rows along each axis whose grid holds all points."""
    for counts in itertools.product(range(1, num_points + 1), repeat=num_axes - 1):
        yield (*counts, -(-num_points // math.prod(counts)))


def _unevenness(sizes: Sequence[int], counts: Sequence[int], num_points: int) -> float:
    """How much the spacings of the axes differ, and the share of the grid that stays empty."""
    spacings = [taps / count for taps, count in zip(sizes, counts, strict=True)]
    return math.log(max(spacings) / min(spacings)) + math.prod(counts) / num_points
