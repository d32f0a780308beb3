"""Sounds that lie in memory: what a store of many clips gives for one of them.

T samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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


def sound_name(path: str | Path | StoredSound) -> str:
    """How a message names a sound: a file in quotes, a stored sound as its store does.

    >>> sound_name("a.wav")
    "'a.wav'"
    """
    return path.name if isinstance(path, EncodedSound | PcmSound) else f"'{path}'"
