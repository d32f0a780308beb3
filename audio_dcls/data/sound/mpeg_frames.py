"""The frames of an MP3: their number, which a header may give or guess, and a header that gives it.

Layer III only (ISO 11172-3, 2.4.1.3; ISO 13818-3, 2.4.1.3).
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from audio_dcls.data.sound.sound_file import id3_bytes

_FIRST_FRAME_BYTES = 2_048
_RATES_HZ = (44_100, 48_000, 32_000)
_MPEG1_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_LENGTH_HEADER = re.compile(rb"VBRI|(?:Xing|Info)(....)(....)(....)", re.DOTALL)
_HAS_FRAMES, _HAS_BOTH = 1, 3
_TRUSTED_SHARE = 0.95
"""Smallest share of a file that is in the frames that its header counts; the rest may be tags."""


def promised_mpeg_samples(content: bytes, num_samples: int) -> int:
    """Number of samples of an MP3, counted if no header gives them, or if the header leaves out a part of the file.

    libsndfile gives `num_samples`: without a Xing, Info or VBRI header, a guess from the bit rate of the first frame.
    """
    first = id3_bytes(content)
    header = _LENGTH_HEADER.search(content, first, first + _FIRST_FRAME_BYTES)
    if header is None:
        return _count_samples(content)
    flags, _, num_bytes = (int.from_bytes(part or b"", "big") for part in header.groups())
    if flags & _HAS_BOTH != _HAS_BOTH or num_bytes >= _TRUSTED_SHARE * (len(content) - first):
        return num_samples
    counted = _count_samples(content)
    return num_samples if num_samples >= _TRUSTED_SHARE * counted else counted


def with_length_header(content: bytes, num_samples: int) -> bytes | None:
    """The frames of an MP3 behind a frame whose Xing header gives their number; None if there is no frame."""
    first = id3_bytes(content)
    frame = bytearray(content[first : first + 4])
    length = _frame_length(bytes(frame))
    if length is None:
        return None
    frame[1] |= 1  # no checksum
    frame[2] = 0x90 | frame[2] & 0x0C  # a bit rate at which the header fits
    is_mono, is_mpeg1 = frame[3] >> 6 == 3, length.num_samples == 1152
    side_bytes = (17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)
    frame += bytes(side_bytes) + b"Xing" + struct.pack(">II", _HAS_FRAMES, num_samples // length.num_samples)
    total = _frame_length(bytes(frame[:4]))
    assert total is not None
    return bytes(frame.ljust(total.num_bytes, b"\0")) + content[first:]


def _count_samples(content: bytes) -> int:
    """Number of samples in all frames; other bytes between frames are skipped."""
    num_samples, position, is_sure = 0, id3_bytes(content), True
    while 0 <= position < len(content):
        length = _frame_length(content[position : position + 4])
        after = position + (length.num_bytes if length else 0)
        if length and (is_sure or after >= len(content) or _frame_length(content[after : after + 4])):
            num_samples, position, is_sure = num_samples + length.num_samples, after, True
        else:
            position, is_sure = content.find(b"\xff", position + 1), False
    return num_samples


class _FrameLength(NamedTuple):
    num_bytes: int
    num_samples: int


def _frame_length(header: bytes) -> _FrameLength | None:
    """Size of a frame by its first 4 bytes; None for other bytes."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version = (header[1] >> 3) & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    bit_rate, rate, padding = header[2] >> 4, (header[2] >> 2) & 3, (header[2] >> 1) & 1
    if version == 1 or rate == 3 or bit_rate in (0, 15):
        return None
    rate_hz = _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    kilobits, factor, num_samples = (_MPEG1_KBPS, 144, 1152) if version == 3 else (_MPEG2_KBPS, 72, 576)
    return _FrameLength(factor * 1000 * kilobits[bit_rate - 1] // rate_hz + padding, num_samples)
