"""Initial positions: normal, uniform, or on a grid; `kernel_fit` places elements by a trained kernel.

Axis legend: K elements, M learned axes.

Layers that share positions are initialised together: pass any one of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from audio_dcls.dcls.conv import DclsConv


def place_normal(layer: DclsConv, std_taps: float = 0.5, generator: torch.Generator | None = None) -> None:
    """Draw positions around the centre, clamped into the kernel, as the authors do.

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

    The grid is the most even one of at least K points; if it has more, the points nearest to the centre are used.

    Args:
        layer: changed in place.
    """
    points = _grid_points(layer.learned_size, layer.kernel_count)
    with torch.no_grad():
        for coordinates, values in zip(layer.positions, points, strict=True):
            coordinates.copy_(values.to(coordinates))


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
    """A penalty for spacings that differ between axes, plus one for grid points that stay empty."""
    spacings = [taps / count for taps, count in zip(sizes, counts, strict=True)]
    return math.log(max(spacings) / min(spacings)) + math.prod(counts) / num_points
