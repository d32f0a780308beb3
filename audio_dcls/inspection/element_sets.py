"""The elements of a model's DCLS layers, one set per group of layers that share positions.

Axis legend: M learned axes, E elements (channels times elements of each).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from audio_dcls.dcls.history import PositionHistory
from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.errors import NothingToShowError

AXES = ("frequency", "time")
"""Axes of a kernel over spectrograms, in their order."""
_NEAR_TAPS = 0.5
"""Elements at most this far from the border count as near it."""


@dataclass(frozen=True, eq=False)
class ElementSet:
    """Elements that layers share."""

    name: str
    """Name of the first layer that has them."""
    title: str
    """Name for people, such as "stage 1" if the layer's name says so."""
    layers: tuple[str, ...]
    kernel_size: tuple[int, ...]
    """Taps along each learned axis."""
    positions: np.ndarray
    """(M, E) in taps from the kernel's centre."""
    spreads: np.ndarray | None
    """(M, E) effective spreads in taps, |spread| plus the form's floor; None for forms without spreads."""

    @property
    def borders(self) -> np.ndarray:
        """(M, 2) first and last tap along each axis."""
        first = -np.array([size // 2 for size in self.kernel_size])
        return np.stack([first, first + np.array(self.kernel_size) - 1], axis=1)

    def outside_share(self) -> np.ndarray:
        """(M,) share of elements beyond the first or last tap, 0 to 1."""
        low, high = self.borders[:, :1], self.borders[:, 1:]
        return ((self.positions < low) | (self.positions > high)).mean(axis=1)

    def near_share(self) -> np.ndarray:
        """(M,) share of elements inside, and within `_NEAR_TAPS` of the first or last tap, 0 to 1."""
        low, high = self.borders[:, :1], self.borders[:, 1:]
        distance = np.minimum(self.positions - low, high - self.positions)
        return ((distance >= 0) & (distance <= _NEAR_TAPS)).mean(axis=1)


def element_sets(model: nn.Module) -> list[ElementSet]:
    """The sets of a model, in the order of its layers; `NothingToShowError` without a DCLS layer of two learned axes.

    >>> from audio_dcls.dcls import DclsConv2d
    >>> (found,) = element_sets(nn.Sequential(DclsConv2d(4, 4, 5, (7, 9), groups=4)))
    >>> found.positions.shape, found.kernel_size, found.borders.tolist()
    ((2, 20), (7, 9), [[-3, 3], [-4, 4]])
    """
    layers = {name: layer for name, layer in dcls_layers(model).items() if len(layer.learned_axes) == len(AXES)}
    if not layers:
        raise NothingToShowError(
            "the model has no DCLS layer with two learned axes, so there are no positions to look at; inspect a "
            "model that was trained with DCLS"
        )
    groups: dict[int, list[str]] = {}
    for name, layer in layers.items():
        groups.setdefault(id(layer.positions), []).append(name)
    found = []
    for names in groups.values():
        layer = layers[names[0]]
        with torch.no_grad():
            spreads = layer.form.effective_spreads(layer.spreads)
        found.append(
            ElementSet(
                name=names[0],
                title=set_title(names[0], len(found)),
                layers=tuple(names),
                kernel_size=layer.learned_size,
                positions=_flat(layer.positions),
                spreads=None if spreads is None else _flat(spreads),
            )
        )
    return found


def history_sets(history: PositionHistory) -> dict[str, np.ndarray]:
    """Positions of each set at every record, (R, M, E), by the name of its first layer."""
    return {name: history.positions(name).flatten(2).double().numpy() for name in history.names}


def set_title(name: str, index: int) -> str:
    """The title of a set: its stage, read from the name of its layer, or its number.

    >>> set_title("backbone.stages.2.blocks.0.conv_dw", 5), set_title("a.conv", 0)
    ('stage 3', 'set 1')
    """
    for part, after in itertools.pairwise(name.split(".")):
        if part == "stages" and after.isdigit():
            return f"stage {int(after) + 1}" + (", positional encoding" if "pos_emb" in name else "")
    return f"set {index + 1}"


def _flat(tensor: torch.Tensor) -> np.ndarray:
    values = tensor.detach().cpu().double().numpy()
    return values.reshape(len(values), -1)
