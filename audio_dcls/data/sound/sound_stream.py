"""Sounds of any length, block by block: files, arrays, raw samples of a pipe. Memory does not grow with their length.

T samples of a block; the source chooses T.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import numpy as np
import soxr

from audio_dcls.data.sound.decode import ResampleQuality, check_resample_quality, check_waveform
from audio_dcls.data.sound.sndfile_audio import sndfile_blocks
from audio_dcls.data.sound.sound_file import FILE_RATES_HZ, check_file, to_mono, unusable
from audio_dcls.data.sound.video_audio import is_video, video_blocks
from audio_dcls.errors import ArgumentError

RawFormat = Literal["s16le", "f32le"]
"""Samples of a pipe: 16-bit integers or 32-bit floats, the lowest byte first."""
_MAX_FLOAT = 100.0
"""Floating-point arrays with larger values hold integers by mistake; loud mixtures reach a few units."""
_RAW_BLOCK_S = 0.5
"""Longest block that is read from a pipe at once."""
_FULL_SCALE_INT16 = 32_768
_RAW_TYPES = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}


class Sound(Protocol):
    """A sound that can be read from its beginning to its end."""

    @property
    def name(self) -> str:
        """Name in results and messages."""
        ...

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """The next samples, mono (T,) float32, and their rate in Hz, which is the same for all blocks."""
        ...


@dataclass(frozen=True)
class FileSound:
    """A file of any format that `read_clip` reads."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Decode the file block by block; raise an AudioFileError (missing, empty or unreadable)."""
        check_file(self.path)
        return video_blocks(self.path) if is_video(self.path) else sndfile_blocks(self.path)


@dataclass(frozen=True, eq=False)
class ArraySound:
    """Samples in memory."""

    samples: np.ndarray
    """(T,) or (channels, T): floating point with full scale at 1, or int16."""
    sample_rate_hz: int
    name: str = "array"

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """All samples as one block; raise an ArgumentError if shape, type or rate is not that of a sound."""
        samples = self.samples
        if samples.ndim not in (1, 2) or not samples.size or (samples.ndim == 2 and len(samples) > samples.shape[1]):
            rule = "must be (samples,) or (channels, samples), with at least one sample"
            raise ArgumentError(f"`sound` (shape {samples.shape}) {rule}; transpose it if the channels come last")
        if samples.dtype != np.int16 and samples.dtype.kind != "f":
            rule = "must be floating point with full scale at 1, or int16"
            raise ArgumentError(f"`sound` (dtype {samples.dtype}) {rule}; convert it")
        _check_rate(self.sample_rate_hz)
        loudest = float(np.abs(samples).max()) if samples.dtype != np.int16 else 0.0
        if _MAX_FLOAT < loudest < math.inf:
            problem = f"`sound` reaches {loudest:g}, and floating point has full scale at 1"
            raise ArgumentError(f"{problem}; divide it by {_FULL_SCALE_INT16}, or give it as int16")
        yield to_mono(samples.T), self.sample_rate_hz


@dataclass(frozen=True)
class RawSound:
    """Samples without a header from a pipe, with interleaved channels."""

    stream: BinaryIO
    sample_rate_hz: int
    num_channels: int = 1
    form: RawFormat = "s16le"
    name: str = "-"

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Samples as they arrive, until the pipe is closed.

        Raise an ArgumentError if a number is out of range or `form` is unknown, and an AudioFileError (empty) if the
        pipe is closed before the first sample.
        """
        _check_rate(self.sample_rate_hz)
        if self.num_channels < 1:
            raise ArgumentError(f"`num_channels` (={self.num_channels}) must be at least 1")
        if self.form not in _RAW_TYPES:
            raise ArgumentError(f"`form` (={self.form!r}) must be one of {', '.join(_RAW_TYPES)}")
        dtype = _RAW_TYPES[self.form]
        frame_bytes = dtype.itemsize * self.num_channels
        read = self.stream.read1 if isinstance(self.stream, io.BufferedReader) else self.stream.read
        rest, is_empty = b"", True
        while content := read(math.ceil(_RAW_BLOCK_S * self.sample_rate_hz) * frame_bytes):
            content = rest + content
            whole = len(content) // frame_bytes * frame_bytes
            rest = content[whole:]
            if whole:
                is_empty = False
                samples = np.frombuffer(content[:whole], dtype=dtype).reshape(-1, self.num_channels)
                yield to_mono(samples), self.sample_rate_hz
        if is_empty:
            raise unusable(self.name, "empty", "ended before the first sample; check the program that writes to it")


def resampled_blocks(
    sound: Sound, *, sample_rate_hz: int = 32_000, resample_quality: ResampleQuality = "HQ"
) -> Iterator[np.ndarray]:
    """Resample a sound block by block (soxr); together, the blocks are what `read_clip` returns for the whole sound.

    A block is (T,) float32, T at least 1. Raise an ArgumentError if an argument breaks its rule, and an AudioFileError
    if the sound cannot be read or a sample is not finite.

    >>> noise = np.random.default_rng(0).uniform(-1, 1, (2, 44_100))
    >>> sum(len(block) for block in resampled_blocks(ArraySound(noise, 44_100)))
    32000
    """
    check_resample_quality(resample_quality)
    _check_rate(sample_rate_hz)
    resampler: soxr.ResampleStream | None = None
    for block, rate_hz in sound.blocks():
        check_waveform(block, rate_hz, sound.name, require_sound=False)
        if rate_hz != sample_rate_hz:
            if resampler is None:
                resampler = soxr.ResampleStream(rate_hz, sample_rate_hz, 1, dtype="float32", quality=resample_quality)
            block = resampler.resample_chunk(block)
        if len(block):
            yield block
    if resampler is not None:
        block = resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        if len(block):
            yield block


def _check_rate(sample_rate_hz: int) -> None:
    if sample_rate_hz not in FILE_RATES_HZ:
        rule = f"must be a whole number from {FILE_RATES_HZ[0]} to {FILE_RATES_HZ[-1]}"
        remedy = "give the rate at which the samples were recorded"
        raise ArgumentError(f"`sample_rate_hz` (={sample_rate_hz}) {rule}; {remedy}")
