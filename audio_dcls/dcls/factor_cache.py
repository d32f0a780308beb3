"""The 1-D factors of layers that share positions and spreads, built once per forward pass.

Axis legend: M learned axes, K elements, S_m taps of axis m.

A build is used again while all of these conditions hold, and replaced otherwise:

- it was made from the very same tensors, and their version counters have not changed since;
- it recorded gradients exactly if they are recorded now, and it was made in the same inference mode;
- the calling layer has not used it yet: a layer that calls twice is in its next forward pass;
- no backward pass has gone through it.

The last two conditions are needed because fused optimisers, and writes through `.data`, do not change version counters.
An optimiser steps after a backward pass, and averaged weights are swapped in between two forward passes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from audio_dcls.dcls.gradients import build_factors
from audio_dcls.dcls.interpolation import Interpolation


@dataclass
class _Build:
    """One set of factors and the state in which it was made."""

    key: tuple[Any, ...]
    positions: Tensor
    spreads: Tensor | None
    factors: tuple[Tensor, ...] = ()
    served: set[int] = field(default_factory=set)
    is_spent: bool = False

    def fits(self, layer: nn.Module, positions: Tensor, spreads: Tensor | None, key: tuple[Any, ...]) -> bool:
        same_tensors = self.positions is positions and self.spreads is spreads
        return same_tensors and self.key == key and not self.is_spent and id(layer) not in self.served


class FactorCache:
    """Factors shared by the layers of one group; `share_positions` gives a group its cache.

    A copy (deepcopy, pickle) starts empty. Several threads may use a cache: at worst two build the same factors.
    """

    def __init__(self) -> None:
        self._build: _Build | None = None
        self._conversions: list[tuple[weakref.ref[Tensor], weakref.ref[Tensor]]] = []
        self.num_builds = 0

    def factors(
        self,
        layer: nn.Module,
        positions: Tensor,
        spreads: Tensor | None,
        sizes: Sequence[int],
        interpolation: Interpolation,
    ) -> tuple[Tensor, ...]:
        """The factors of `positions` and `spreads`, built at most once for all layers of a forward pass.

        Args:
            layer: the calling layer.
            positions, spreads, sizes, interpolation: as in `axis_factors`.

        Shape:
            M tensors (..., K, S_m)
        """
        key = (
            tuple(sizes),
            interpolation.name,
            _state(positions),
            None if spreads is None else _state(spreads),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
        )
        build = self._build
        if build is None or not build.fits(layer, positions, spreads, key):
            build = _Build(key, positions, spreads)
            build.factors = build_factors(positions, spreads, sizes, interpolation, _spent_marker(build))
            self._build = build
            self.num_builds += 1
        build.served.add(id(layer))
        return build.factors

    def clear(self) -> None:
        """Drop the factors; the next call builds them again."""
        self._build = None

    def converted(self, old: Tensor, new: Tensor) -> Tensor:
        """The one replacement of a shared tensor, when its layers move to another device or type.

        `Module.to_empty` gives every layer its own replacement of a shared parameter; the whole group uses the first.
        """
        self._conversions = [pair for pair in self._conversions if pair[0]() is not None and pair[1]() is not None]
        for known, replacement in self._conversions:
            kept = replacement()
            if known() is old and kept is not None:
                return kept
        self._conversions.append((weakref.ref(old), weakref.ref(new)))
        return new

    def __getstate__(self) -> dict[str, Any]:
        return {"_build": None, "_conversions": [], "num_builds": 0}


def _spent_marker(build: _Build) -> Callable[[], None]:
    """A function that marks a build as spent, without keeping the build alive."""
    reference = weakref.ref(build)

    def spend() -> None:
        found = reference()
        if found is not None:
            found.is_spent = True

    return spend


def _state(tensor: Tensor) -> tuple[Any, ...]:
    """A key that changes with a tensor's values, except for inference tensors, which have no version counter."""
    version = None if tensor.is_inference() else tensor._version
    return version, tensor.data_ptr(), tensor.dtype, tensor.device, tensor.requires_grad
