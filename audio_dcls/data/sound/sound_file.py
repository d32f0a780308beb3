"""What every decoder asks of a sound file, and what it says of one that cannot be used.

T samples.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from audio_dcls.data.sound.stored_sound import EncodedSound, StoredSound, sound_name
from audio_dcls.errors import AudioFileError

MIN_DECODED_SHARE = 0.95
"""A clip of which less than this share could be decoded is not used."""
FILE_RATES_HZ = range(1_000, 1_000_001)
"""Rates a header may name; beyond lies damage, and a resampler asked for gigabytes."""


def check_file(path: Path | EncodedSound) -> None:
    """Refuse what is no file, or an empty one.

    Raises:
        AudioFileError: reason missing, empty or unreadable.
    """
    if isinstance(path, EncodedSound):
        if not path.content:
            raise AudioFileError(f"{path.name} is empty (0 bytes); remove it or fetch it again", reason="empty")
        return
    name = f"'{path}'"
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL in the path
        message = f"{name} does not exist; check the path, or remove the clip"
        raise AudioFileError(message, reason="missing") from error
    except OSError as error:
        message = f"{name} cannot be opened ({error.strerror}); check its path and permissions"
        raise AudioFileError(message, reason="unreadable") from error
    if not path.is_file():
        raise AudioFileError(f"{name} is not a file; give the path of a sound file", reason="unreadable")
    if status.st_size == 0:
        raise AudioFileError(f"{name} is empty (0 bytes); remove it or fetch it again", reason="empty")


def read_start(path: Path | EncodedSound, num_bytes: int, first: int = 0) -> bytes:
    """Bytes `first` .. `first` + `num_bytes` - 1 of a file, or as many as there are.

    Raises:
        AudioFileError: reason unreadable.
    """
    if isinstance(path, EncodedSound):
        return path.content[first : first + num_bytes]
    try:
        with path.open("rb", buffering=0) as stream:
            stream.seek(first)
            return stream.read(num_bytes) or b""
    except OSError as error:
        raise cannot_be_read(path, error) from error


def check_rate(rate_hz: int, path: Path | EncodedSound) -> None:
    """Refuse a rate no sound has.

    Raises:
        AudioFileError: reason unreadable.
    """
    if rate_hz not in FILE_RATES_HZ:
        raise AudioFileError(
            f"{sound_name(path)} names a rate of {rate_hz} Hz, which must be {FILE_RATES_HZ[0]} to "
            f"{FILE_RATES_HZ[-1]}; its header is damaged, fetch or write it again",
            reason="unreadable",
        )


def check_is_whole(num_samples: int, wanted_samples: float, rate_hz: int, path: Path | EncodedSound) -> None:
    """Refuse a clip of which too little could be decoded.

    Args:
        num_samples: how much was decoded.
        wanted_samples: as many as the file promises of the clip; infinity where it breaks off at an unknown place.
        rate_hz: of both.
        path: for messages.

    Raises:
        AudioFileError: reason unreadable.
    """
    if num_samples >= MIN_DECODED_SHARE * wanted_samples:
        return
    of = "" if math.isinf(wanted_samples) else f" of {wanted_samples / rate_hz:.2f}"
    raise AudioFileError(
        f"{sound_name(path)} breaks off: {num_samples / rate_hz:.2f}{of} s of the clip could be decoded, the file "
        "is truncated; fetch or write it again",
        reason="unreadable",
    )


def cannot_be_read(path: Path | EncodedSound, error: OSError) -> AudioFileError:
    """What the disk says of a file."""
    message = f"{sound_name(path)} cannot be read ({error.strerror or error}); check its disk and permissions"
    return AudioFileError(message, reason="unreadable")


def no_frame(path: Path | StoredSound) -> AudioFileError:
    """A file with a header and no sound."""
    return AudioFileError(f"{sound_name(path)} holds no audio frame; remove it or fetch it again", reason="empty")


def beyond_the_end(path: Path | StoredSound, duration_s: float, start_s: float | None) -> AudioFileError:
    """A clip that starts where the sound has ended."""
    return AudioFileError(
        f"{sound_name(path)} is {duration_s:.2f} s long, so nothing lies at start_s (={start_s}); "
        "mend the times of the clip",
        reason="out_of_range",
    )


def downmix(frames: np.ndarray) -> np.ndarray:
    """Mean over channels of (T, C), channel by channel.

    `mean` takes many times as long for stereo. A matrix product is as fast, but wakes BLAS's threads, which then keep
    spinning for tens of milliseconds on the cores that torch is about to use.
    """
    num_channels = frames.shape[1]
    if num_channels == 1:
        return frames[:, 0]
    total = frames[:, 0] + frames[:, 1]
    for channel in range(2, num_channels):
        total += frames[:, channel]
    total *= np.float32(1 / num_channels)
    return total
