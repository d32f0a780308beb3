"""Sounds in memory: one clip of a store that holds many."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np


@dataclass(frozen=True)
class EncodedSound:
    """The bytes of a sound file."""

    content: bytes
    name: str
    """Name in messages, such as "'train-00003-of-00012.parquet', row 17"."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class PcmSound:
    """Samples."""

    samples: np.ndarray
    """(T,) or (T, channels), int16 or float32."""
    sample_rate_hz: int
    name: str

    def __str__(self) -> str:
        return self.name


StoredSound = EncodedSound | PcmSound


def sound_name(sound: str | Path | StoredSound) -> str:
    """Name of a sound in messages: the path in quotes, or the name of a stored sound.

    >>> sound_name("a.wav")
    "'a.wav'"
    """
    return sound.name if isinstance(sound, EncodedSound | PcmSound) else f"'{sound}'"


def open_bytes(sound: Path | EncodedSound) -> BinaryIO:
    """Open the bytes of a file, or of a stored one, for reading; raise an OSError if the file cannot be read."""
    return io.BytesIO(sound.content) if isinstance(sound, EncodedSound) else sound.open("rb")


def read_bytes(sound: Path | EncodedSound) -> bytes:
    """Read the bytes of a file, or of a stored one; raise an OSError if the file cannot be read."""
    return sound.content if isinstance(sound, EncodedSound) else sound.read_bytes()
