"""Checks and errors that all decoders share, and samples as mono."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from audio_dcls.data.sound.stored_sound import EncodedSound, StoredSound, open_bytes, sound_name
from audio_dcls.errors import AudioFileError
from audio_dcls.files import path_remedy

_MIN_DECODED_SHARE = 0.95
"""A clip is refused if less than this share of it can be decoded."""
FILE_RATES_HZ = range(1_000, 1_000_001)
"""Valid rates; any other rate in a header means damage, and a resampler would need gigabytes for it."""
_ID3_HEADER_BYTES = 10


def unusable(sound: str | Path | StoredSound, reason: str, problem: str) -> AudioFileError:
    """The error of a sound: its name, followed by the problem and the remedy."""
    return AudioFileError(f"{sound_name(sound)} {problem}", reason=reason)


def check_file(path: Path | EncodedSound) -> None:
    """Raise an AudioFileError (missing, empty or unreadable) if a path is not a file, or the file is empty."""
    if isinstance(path, EncodedSound):
        num_bytes = len(path.content)
    else:
        try:
            num_bytes = path.stat().st_size
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL in the path
            raise unusable(path, "missing", f"does not exist; {path_remedy(path)}, or remove the clip") from error
        except OSError as error:
            problem = f"cannot be opened ({error.strerror}); check its path and permissions"
            raise unusable(path, "unreadable", problem) from error
        if not path.is_file():
            raise unusable(path, "unreadable", "is not a file; give the path of a sound file")
    if num_bytes == 0:
        raise unusable(path, "empty", "is empty (0 bytes); remove it or fetch it again")


def read_start(path: Path | EncodedSound, num_bytes: int, first: int = 0) -> bytes:
    """Bytes `first` .. `first` + `num_bytes` - 1 of a file, fewer at its end; raise an AudioFileError (unreadable)."""
    try:
        with open_bytes(path) as stream:
            stream.seek(first)
            return stream.read(num_bytes)
    except OSError as error:
        raise cannot_be_read(path, error) from error


def id3_bytes(header: bytes) -> int:
    """Length of the ID3 tag in front of a file, header included (https://id3.org/id3v2.4.0-structure, 3.1).

    `header` holds the first bytes of the file, at least 10 if it has a tag.

    >>> id3_bytes(b"ID3" + bytes([4, 0, 0, 0, 0, 1, 2])), id3_bytes(b"RIFF")
    (140, 0)
    """
    if not header.startswith(b"ID3") or len(header) < _ID3_HEADER_BYTES:
        return 0
    size = sum((byte & 0x7F) << shift for byte, shift in zip(header[6:10], (21, 14, 7, 0), strict=True))
    return _ID3_HEADER_BYTES + size


def check_rate(rate_hz: int, path: Path | EncodedSound) -> None:
    """Raise an AudioFileError (unreadable) for a rate that no sound has."""
    if rate_hz not in FILE_RATES_HZ:
        rule = f"has a rate of {rate_hz} Hz, which must be from {FILE_RATES_HZ[0]} to {FILE_RATES_HZ[-1]}"
        raise unusable(path, "unreadable", f"{rule}; its header is damaged, fetch or write it again")


def check_is_whole(num_samples: int, wanted_samples: float, rate_hz: int, path: Path | EncodedSound) -> None:
    """Raise an AudioFileError (unreadable) if too little of a clip could be decoded.

    The clip has `wanted_samples` by the file's header; infinity if the file ends at an unknown place.
    """
    if num_samples >= _MIN_DECODED_SHARE * wanted_samples:
        return
    of = "" if math.isinf(wanted_samples) else f" of {wanted_samples / rate_hz:.2f}"
    problem = f"breaks off: {num_samples / rate_hz:.2f}{of} s of the clip could be decoded, the file is truncated"
    raise unusable(path, "unreadable", f"{problem}; fetch or write it again")


def cannot_be_read(path: Path | EncodedSound, error: OSError) -> AudioFileError:
    """The error of a file that the operating system cannot read."""
    return unusable(path, "unreadable", f"cannot be read ({error.strerror or error}); check its disk and permissions")


def unlisted_content(path: Path | StoredSound, found: str, listed: str) -> AudioFileError:
    """The error of a sound whose SHA-256 is not the one that its manifest lists."""
    rule = f"has the SHA-256 {found[:12]}..., but {listed[:12]}... is listed"
    return unusable(path, "changed", f"{rule}; fetch the file again, or clear the cell to accept it")


def no_frame(path: Path | StoredSound) -> AudioFileError:
    """The error of a file with a header and no sound."""
    return unusable(path, "empty", "holds no audio frame; remove it or fetch it again")


def beyond_the_end(path: Path | StoredSound, duration_s: float, start_s: float | None) -> AudioFileError:
    """The error of a clip that starts after the end of the sound."""
    problem = f"is {duration_s:.2f} s long, so there is no sound at start_s (={start_s}); fix the times of the clip"
    return unusable(path, "out_of_range", problem)


def sample_range(start_s: float | None, end_s: float | None, rate_hz: int, total: float) -> tuple[int, float]:
    """First sample of a clip, and the sample after its last, in a file of `total` samples; infinity if unknown."""
    return round((start_s or 0.0) * rate_hz), total if end_s is None else min(round(end_s * rate_hz), total)


def to_mono(samples: np.ndarray) -> np.ndarray:
    """Convert samples (T,) or (T, C) of any type to mono float32 (T,), with full scale at 1.

    >>> to_mono(np.array([[16384, 0], [-32768, -32768]], dtype=np.int16)).tolist()
    [0.25, -1.0]
    """
    frames = samples.astype(np.float32)
    if samples.dtype.kind == "u":
        frames = (frames - 128) / 128
    elif samples.dtype.kind == "i":
        frames *= np.float32(0.5 ** (8 * samples.dtype.itemsize - 1))
    return frames if frames.ndim == 1 else downmix(frames)


def downmix(frames: np.ndarray) -> np.ndarray:
    """Mean over channels of (T, C), channel by channel.

    `mean` takes many times as long for stereo. A matrix product is as fast, but wakes the threads of BLAS, which then
    keep spinning for tens of milliseconds on the cores that torch needs next.
    """
    if (num_channels := frames.shape[1]) == 1:
        return frames[:, 0]
    total = frames[:, 0] + frames[:, 1]
    for channel in range(2, num_channels):
        total += frames[:, channel]
    total *= np.float32(1 / num_channels)
    return total
