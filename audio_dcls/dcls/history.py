"""Where the elements of a model went during training.

Axis legend: R records, M learned axes, O output channels, I input channels of a group, K elements, D.. dense axes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from audio_dcls.dcls.parameters import position_sets
from audio_dcls.errors import ArgumentError


class PositionHistory:
    """Records of positions and spreads, one for each set that layers share, in float32 on the CPU.

    Sets are named after the first layer that holds them.

    >>> from audio_dcls.dcls.conv import DclsConv1d
    >>> layer, history = DclsConv1d(1, 1, 2, 9), PositionHistory()
    >>> for step in (0, 10):
    ...     history.record(nn.Sequential(layer), step)
    ...     _ = layer.positions.data.add_(1)
    >>> history.steps, tuple(history.positions("0").shape), round(float(history.displacement("0")[1]), 5)
    ([0, 10], (2, 1, 1, 1, 2), 1.0)
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._records: dict[str, list[Tensor]] = {}

    def record(self, model: nn.Module, step: int) -> None:
        """Remember where the elements are now.

        Args:
            model: the same model at every call.
            step: optimiser steps done, above that of the record before.

        Raises:
            ArgumentError: the step is not later than the last.
        """
        record: dict[str, Tensor] = {}
        for name, layer in position_sets(model).items():
            for kind, tensor in (("positions", layer.positions), ("spreads", layer.spreads)):
                if tensor is not None:
                    record[_key(name, kind)] = tensor.detach().to("cpu", torch.float32, copy=True)
        self.append(step, record)

    def append(self, step: int, record: dict[str, Tensor]) -> None:
        """Add a record as `tensors()` has them, without the axis of records.

        Args:
            step: above that of the record before.
            record: `<layer>.positions` and `<layer>.spreads`, (M, O, I, D.., K), of the same layers at every call.

        Raises:
            ArgumentError: the step is not later than the last, or the layers are others.
        """
        if self.steps and step <= self.steps[-1]:
            raise ArgumentError(f"`step` (={step}) must be above that of the last record (={self.steps[-1]})")
        if self.steps and record.keys() != self._records.keys():
            other = sorted(record.keys() ^ self._records.keys())[0]
            raise ArgumentError(f"the record of step {step} is of another model: '{other}' is not in all of them")
        self.steps.append(step)
        for key, value in record.items():
            self._records.setdefault(key, []).append(value)

    @property
    def names(self) -> list[str]:
        """Layers that were recorded, one for each set of positions."""
        suffix = ".positions"
        return [key.removesuffix(suffix).removeprefix(".") for key in self._records if key.endswith(suffix)]

    def positions(self, name: str) -> Tensor:
        """Positions at every record, in taps: (R, M, O, I, D.., K)."""
        return torch.stack(self._of(name, "positions"))

    def spreads(self, name: str) -> Tensor:
        """Spreads at every record, in taps: (R, M, O, I, D.., K)."""
        return torch.stack(self._of(name, "spreads"))

    def displacement(self, name: str) -> Tensor:
        """Mean distance of the elements from where they were at the first record, in taps: (R,)."""
        positions = self.positions(name)
        return torch.linalg.vector_norm(positions - positions[0], dim=1).flatten(1).mean(1)

    def tensors(self) -> dict[str, Tensor]:
        """Everything, for a file: `<layer>.positions`, `<layer>.spreads`, each with records first, and `steps`."""
        stacked = {key: torch.stack(values) for key, values in self._records.items()}
        return stacked | {"steps": torch.tensor(self.steps, dtype=torch.long)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> PositionHistory:
        """The history that `tensors` came from; the inverse of `tensors()`."""
        history = cls()
        history.steps = tensors["steps"].tolist()
        history._records = {key: list(value) for key, value in tensors.items() if key != "steps"}
        return history

    def _of(self, name: str, kind: str) -> list[Tensor]:
        values = self._records.get(_key(name, kind))
        if values is None:
            raise ArgumentError(f"`name` (={name!r}) has no recorded {kind}; there are: {', '.join(self.names)}")
        return values


def _key(name: str, kind: str) -> str:
    return f"{name}.{kind}"
