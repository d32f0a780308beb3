"""FLAC in memory, as packs hold it, decoded at once by dr_flac: the same samples as libsndfile's in half the time.

It is used for whole streams of 16 bits alone. Of any other FLAC, a damaged one above all, libsndfile decides what can
be had of it.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from typing import NamedTuple

import numpy as np

MARK = b"fLaC"
STREAMINFO_BYTES = 26
"""Up to the number of samples: mark, block header, and 18 bytes of the block STREAMINFO (RFC 9639, section 8.2)."""
BITS = 16
LEAST_SHARE = 0.5
"""Of a stream from which less is wanted, libsndfile seeks the stretch."""


class FlacHeader(NamedTuple):
    """What STREAMINFO says."""

    sample_rate_hz: int
    num_channels: int
    bits_per_sample: int
    num_samples: int
    """Of each channel; 0 where it is not said."""


def parse_header(content: bytes) -> FlacHeader | None:
    """The header of a FLAC stream; None where it is none.

    >>> import io, soundfile
    >>> stream = io.BytesIO()
    >>> soundfile.write(stream, np.zeros((320, 2), dtype=np.int16), 32_000, format="FLAC")
    >>> parse_header(stream.getvalue())
    FlacHeader(sample_rate_hz=32000, num_channels=2, bits_per_sample=16, num_samples=320)
    """
    if len(content) < STREAMINFO_BYTES or content[:4] != MARK or content[4] & 0x7F:
        return None
    packed = int.from_bytes(content[18:26], "big")  # rate: 20 bits, channels: 3, bits: 5, samples: 36
    return FlacHeader(packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1, packed & (1 << 36) - 1)


def decode_whole_flac(
    content: bytes, start_s: float | None = None, end_s: float | None = None
) -> tuple[np.ndarray, int] | None:
    """All samples of a FLAC stream of 16 bits.

    Args:
        content: the file's bytes.
        start_s: start of the stretch that is wanted of it; None is its beginning.
        end_s: end of that stretch; None is its end.

    Returns:
        (T, channels) int16, and the rate in Hz; None where the stream is not of 16 bits, does not say its length, or
        does not give as many samples as it says, where less than half of it is wanted, and where dr_flac (the package
        `miniaudio`) is not installed.
    """
    header = parse_header(content)
    if header is None or header.bits_per_sample != BITS or not header.num_samples:
        return None
    duration_s = header.num_samples / max(header.sample_rate_hz, 1)
    wanted_s = min(end_s or math.inf, duration_s) - (start_s or 0.0)
    if wanted_s < LEAST_SHARE * duration_s or not _has_dr_flac():
        return None
    import miniaudio

    try:
        sound = miniaudio.flac_read_s16(content)
    except miniaudio.DecodeError:
        return None
    samples = np.frombuffer(sound.samples, dtype=np.int16).reshape(-1, sound.nchannels)
    told = (header.num_samples, header.num_channels, header.sample_rate_hz)
    return (samples, sound.sample_rate) if (*samples.shape, sound.sample_rate) == told else None


@functools.cache
def _has_dr_flac() -> bool:
    """There are no binaries of it for some machines."""
    return importlib.util.find_spec("miniaudio") is not None
