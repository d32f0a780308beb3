"""The positions and spreads of a model's elements during training.

Axis legend: R records, M learned axes, O output channels, I input channels of a group, K elements, D.. dense axes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from audio_dcls.dcls.parameters import position_sets
from audio_dcls.errors import ArgumentError


class PositionHistory:
    """Records of positions and spreads, in float32 on the CPU.

    Layers that share positions have one record per step, named after the first of them.

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
        """Record the current positions and spreads.

        Args:
            model: the same model at every call.
            step: optimiser steps done; above the last recorded step.

        Raises:
            ArgumentError: the step is not above the last one.
        """
        record: dict[str, Tensor] = {}
        for name, layer in position_sets(model).items():
            for kind, tensor in (("positions", layer.positions), ("spreads", layer.spreads)):
                if tensor is not None:
                    record[_key(name, kind)] = tensor.detach().to("cpu", torch.float32, copy=True)
        self.append(step, record)

    def append(self, step: int, record: dict[str, Tensor]) -> None:
        """Add a record in the form of `tensors()`, without the axis of records.

        Args:
            step: optimiser steps done; above the last recorded step.
            record: `<layer>.positions` and `<layer>.spreads`, (M, O, I, D.., K), of the same layers at every call.

        Raises:
            ArgumentError: the step is not above the last one, or the record has other layers.
        """
        if self.steps and step <= self.steps[-1]:
            raise ArgumentError(f"`step` (={step}) must be above the last recorded step (={self.steps[-1]})")
        if self.steps and record.keys() != self._records.keys():
            other = sorted(record.keys() ^ self._records.keys())[0]
            raise ArgumentError(f"the record of step {step} is from another model: '{other}' is not in all records")
        self.steps.append(step)
        for key, value in record.items():
            self._records.setdefault(key, []).append(value)

    @property
    def names(self) -> list[str]:
        """Names of the recorded layers, one per set of positions."""
        suffix = ".positions"
        return [key.removesuffix(suffix).removeprefix(".") for key in self._records if key.endswith(suffix)]

    def positions(self, name: str) -> Tensor:
        """Positions in every record, in taps: (R, M, O, I, D.., K)."""
        return torch.stack(self._of(name, "positions"))

    def spreads(self, name: str) -> Tensor:
        """Spreads in every record, in taps: (R, M, O, I, D.., K)."""
        return torch.stack(self._of(name, "spreads"))

    def displacement(self, name: str) -> Tensor:
        """Mean distance of the elements from their positions in the first record, in taps: (R,)."""
        positions = self.positions(name)
        return torch.linalg.vector_norm(positions - positions[0], dim=1).flatten(1).mean(1)

    def tensors(self) -> dict[str, Tensor]:
        """All records as tensors: `<layer>.positions`, `<layer>.spreads`, each with the axis R first, and `steps`."""
        stacked = {key: torch.stack(values) for key, values in self._records.items()}
        return stacked | {"steps": torch.tensor(self.steps, dtype=torch.long)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> PositionHistory:
        """The inverse of `tensors()`."""
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
