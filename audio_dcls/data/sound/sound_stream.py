"""Sounds of any length, block by block: files, arrays, raw samples of a pipe. Memory does not grow with their length.

T samples of a block, as many as its source finds convenient.
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

from audio_dcls.data.sound.decode import (
    FULL_SCALE_INT16,
    ResampleQuality,
    check_resample_quality,
    check_waveform,
)
from audio_dcls.data.sound.sndfile_audio import sndfile_blocks
from audio_dcls.data.sound.sound_file import FILE_RATES_HZ, check_file, downmix
from audio_dcls.data.sound.video_audio import is_video, video_blocks
from audio_dcls.errors import ArgumentError, AudioFileError

RawFormat = Literal["s16le", "f32le"]
"""Samples of a pipe: 16-bit integers or 32-bit floats, the lowest byte first."""
MAX_FLOAT = 100.0
"""Arrays of floating point above it are integers in disguise; loud mixtures reach some units."""
RAW_BLOCK_S = 0.5
"""Samples of a pipe are taken as they come, at most this much at once."""
_RAW_TYPES = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}


class Sound(Protocol):
    """Something that can be heard from its beginning to its end."""

    @property
    def name(self) -> str:
        """What results and messages call it."""
        ...

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """The next samples, mono (T,) float32, and their rate in Hz, which stays the same."""
        ...


@dataclass(frozen=True)
class FileSound:
    """A file of any format that `read_clip` reads."""

    path: Path

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Decode it piece by piece.

        Raises:
            AudioFileError: reason missing, empty or unreadable.
        """
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
        """All at once.

        Raises:
            ArgumentError: the shape, the type or the rate is not one of sound.
        """
        samples = self.samples
        if samples.ndim not in (1, 2) or not samples.size or (samples.ndim == 2 and len(samples) > samples.shape[1]):
            raise ArgumentError(
                f"`sound` (shape {samples.shape}) must be (samples,) or (channels, samples), with at least one sample; "
                "transpose it where the channels come last"
            )
        if samples.dtype != np.int16 and samples.dtype.kind != "f":
            raise ArgumentError(
                f"`sound` (dtype {samples.dtype}) must be floating point with full scale at 1, or int16; convert it"
            )
        _check_rate(self.sample_rate_hz)
        loudest = float(np.abs(samples).max()) if samples.dtype != np.int16 else 0.0
        if MAX_FLOAT < loudest < math.inf:
            raise ArgumentError(
                f"`sound` reaches {loudest:g}, and floating point has full scale at 1; divide it by "
                f"{FULL_SCALE_INT16}, or give it as int16"
            )
        mono = samples.astype(np.float32)
        if samples.dtype == np.int16:
            mono *= np.float32(1 / FULL_SCALE_INT16)
        yield mono if mono.ndim == 1 else downmix(mono.T), self.sample_rate_hz


@dataclass(frozen=True)
class RawSound:
    """Samples without a header from a pipe, interleaved where there are several channels."""

    stream: BinaryIO
    sample_rate_hz: int
    num_channels: int = 1
    form: RawFormat = "s16le"
    name: str = "-"

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Samples as they come, until the pipe is closed.

        Raises:
            ArgumentError: a number is not one of sound.
            AudioFileError: reason empty (the pipe was closed before the first sample).
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
        while content := read(math.ceil(RAW_BLOCK_S * self.sample_rate_hz) * frame_bytes):
            content = rest + content
            whole = len(content) // frame_bytes * frame_bytes
            rest = content[whole:]
            if whole:
                is_empty = False
                frames = np.frombuffer(content[:whole], dtype=dtype).astype(np.float32).reshape(-1, self.num_channels)
                yield (
                    downmix(frames * np.float32(1 / FULL_SCALE_INT16 if dtype.kind == "i" else 1)),
                    self.sample_rate_hz,
                )
        if is_empty:
            raise AudioFileError(
                f"'{self.name}' ended before the first sample; check the program that writes to it", reason="empty"
            )


def resampled_blocks(
    sound: Sound, *, sample_rate_hz: int = 32_000, resample_quality: ResampleQuality = "HQ"
) -> Iterator[np.ndarray]:
    """A sound at another rate, block by block (soxr): the samples of `read_clip` of the whole.

    Args:
        sound: what to hear.
        sample_rate_hz: rate of the result, at least 1.
        resample_quality: of soxr.

    Yields:
        The next samples (T,) float32, never none.

    Raises:
        ArgumentError: an argument breaks its rule.
        AudioFileError: the sound cannot be read, or a sample is not finite.

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
        raise ArgumentError(
            f"`sample_rate_hz` (={sample_rate_hz}) must be a whole number from {FILE_RATES_HZ[0]} to "
            f"{FILE_RATES_HZ[-1]}; give the rate the samples were taken at"
        )
