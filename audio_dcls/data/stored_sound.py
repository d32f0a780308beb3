"""Sounds that lie in memory: what a store of many clips gives for one of them.

T samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EncodedSound:
    """The bytes of a sound file."""

    content: bytes
    name: str
    """For messages, such as "'train-00003-of-00012.parquet', row 17"."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class PcmSound:
    """Samples."""

    samples: np.ndarray
    """(T,) or (T, channels), int16 or float32."""
    sample_rate_hz: int
    name: str
    """For messages."""

    def __str__(self) -> str:
        return self.name


StoredSound = EncodedSound | PcmSound
