"""The interface of everything that computes a tagger, and the names of the choices.

Axes: W windows, T samples, C classes, D features.
"""

from __future__ import annotations

import typing
from typing import Protocol

import numpy as np

from audio_dcls.choices import Precision
from audio_dcls.errors import ArgumentError


class Backend(Protocol):
    """Runs a tagger on windows."""

    name: str
    """The library, the device and the precision, for people."""

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities (W, C) and embeddings (W, D) of windows (W, T) at the model's rate, all float32.

        The embeddings are None if the backend does not have them.
        """
        ...


def check_precision(precision: str) -> None:
    """Refuse an unknown precision with an `ArgumentError`."""
    if precision not in typing.get_args(Precision):
        raise ArgumentError(f"`precision` (={precision!r}) must be 'fp32' or 'bf16'")
