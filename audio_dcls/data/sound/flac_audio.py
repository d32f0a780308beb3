"""Decode FLAC in memory, as packs hold it, by dr_flac: the same samples as libsndfile's in half the time.

It is used only for complete streams of 16 bits. libsndfile decodes any other FLAC, and all damaged ones.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from typing import NamedTuple

import numpy as np

_MARK = b"fLaC"
_STREAMINFO_BYTES = 26
"""Mark, block header, and 18 bytes of the block STREAMINFO, up to the number of samples (RFC 9639, section 8.2)."""
_BITS = 16
_LEAST_SHARE = 0.5
"""Smallest share of a stream that is decoded here; for a smaller part, libsndfile seeks."""


class FlacHeader(NamedTuple):
    """The values in STREAMINFO."""

    sample_rate_hz: int
    num_channels: int
    bits_per_sample: int
    num_samples: int
    """Samples per channel; 0 if unknown."""


def parse_header(content: bytes) -> FlacHeader | None:
    """Parse the header of a FLAC stream; None for other bytes.

    >>> import io, soundfile
    >>> stream = io.BytesIO()
    >>> soundfile.write(stream, np.zeros((320, 2), dtype=np.int16), 32_000, format="FLAC")
    >>> parse_header(stream.getvalue())
    FlacHeader(sample_rate_hz=32000, num_channels=2, bits_per_sample=16, num_samples=320)
    """
    if len(content) < _STREAMINFO_BYTES or content[:4] != _MARK or content[4] & 0x7F:
        return None
    packed = int.from_bytes(content[18:26], "big")  # rate: 20 bits, channels: 3, bits: 5, samples: 36
    return FlacHeader(packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1, packed & (1 << 36) - 1)


def decode_whole_flac(
    content: bytes, start_s: float | None = None, end_s: float | None = None
) -> tuple[np.ndarray, int] | None:
    """Decode all samples of a FLAC stream of 16 bits: (T, channels) int16, and the rate in Hz.

    Return None if the stream is not of 16 bits, has no length in its header or another number of samples than its
    header says, if less than half of it is requested by `start_s` and `end_s`, and if dr_flac (the package `miniaudio`)
    is not installed.
    """
    header = parse_header(content)
    if header is None or header.bits_per_sample != _BITS or not header.num_samples:
        return None
    duration_s = header.num_samples / max(header.sample_rate_hz, 1)
    wanted_s = min(end_s or math.inf, duration_s) - (start_s or 0.0)
    if wanted_s < _LEAST_SHARE * duration_s or not _has_dr_flac():
        return None
    import miniaudio  # optional: it has no binaries for some machines

    try:
        sound = miniaudio.flac_read_s16(content)
    except miniaudio.DecodeError:
        return None
    samples = np.frombuffer(sound.samples, dtype=np.int16).reshape(-1, sound.nchannels)
    promised = (header.num_samples, header.num_channels, header.sample_rate_hz)
    return (samples, sound.sample_rate) if (*samples.shape, sound.sample_rate) == promised else None


@functools.cache
def _has_dr_flac() -> bool:
    return importlib.util.find_spec("miniaudio") is not None
