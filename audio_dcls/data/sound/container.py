"""The length that a file's container promises, so that truncated files are found.

libsndfile opens a truncated wav, aiff or ogg as if it were complete, with the remaining frames; flac and mp3 keep the
promised length and fail, or stop, while they are read.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import soundfile

from audio_dcls.data.sound.sound_file import id3_bytes
from audio_dcls.data.sound.stored_sound import EncodedSound, open_bytes

UNKNOWN_FRAMES = 2**62
"""libsndfile reports 2^63 - 1 frames if a header gives no length."""

_OGG_MAX_PAGE_BYTES = 65_307
_OGG_PAGE_HEADER_BYTES = 27
_MPEG_FIRST_FRAME_BYTES = 2_048
_MPEG_RATES_HZ = (44_100, 48_000, 32_000)
_MPEG1_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_STREAMED_BYTES = range(0x7FFF_0000, 0x1_0000_0000)
"""Sizes in headers that a program wrote before it knew the length."""

# libsndfile's log of a header whose size does not fit the file; RF64 and W64 log only the outermost size.
_DATA_SIZE = re.compile(r"^\s*(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_OUTER_SIZE = re.compile(r"^\s*(?:riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)


def promised_frames(sound: soundfile.SoundFile, path: Path | EncodedSound) -> float | None:
    """Number of frames by the container's header: `sound.frames` for a complete file, None if the length is unknown.

    It is infinity for an ogg file that ends in the middle of a page, as nothing tells how much is lost.
    """
    if sound.format == "OGG":
        return math.inf if _breaks_off_in_ogg_page(path) else sound.frames
    if sound.format == "MP3":
        return _mpeg_frames(sound, path)
    pattern = _OUTER_SIZE if sound.format in ("RF64", "W64") else _DATA_SIZE
    found = pattern.search(sound.extra_info)
    if not found:
        return sound.frames
    promised_bytes, actual_bytes = int(found[1]), int(found[2])
    if promised_bytes in _STREAMED_BYTES or promised_bytes <= actual_bytes:
        return sound.frames
    return round(sound.frames * promised_bytes / actual_bytes) if sound.frames and actual_bytes else math.inf


def _breaks_off_in_ogg_page(path: Path | EncodedSound) -> bool:
    """True if the last page (RFC 3533, section 6) is longer than the rest of the file."""
    with open_bytes(path) as stream:
        num_bytes = stream.seek(0, 2)
        stream.seek(max(0, num_bytes - _OGG_MAX_PAGE_BYTES))
        tail = stream.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if not page.startswith(b"OggS"):
        return False
    if len(page) < _OGG_PAGE_HEADER_BYTES:
        return True
    num_segments = page[_OGG_PAGE_HEADER_BYTES - 1]
    segments = page[_OGG_PAGE_HEADER_BYTES : _OGG_PAGE_HEADER_BYTES + num_segments]
    return len(page) < _OGG_PAGE_HEADER_BYTES + num_segments + sum(segments)


def _mpeg_frames(sound: soundfile.SoundFile, path: Path | EncodedSound) -> float | None:
    """The length in the Xing, Info or VBRI header of the first frame; without such a header, the frames are counted.

    For a file without such a header, libsndfile guesses the length from the bit rate of the first frame, and stops
    there.
    """
    content = path.content if isinstance(path, EncodedSound) else path.read_bytes()
    first = id3_bytes(content)
    if any(mark in content[first : first + _MPEG_FIRST_FRAME_BYTES] for mark in (b"Xing", b"Info", b"VBRI")):
        return sound.frames
    num_frames, position = 0, first
    while (length := _mpeg_frame_length(content[position : position + 4])) is not None:
        num_frames += length.num_samples
        position += length.num_bytes
    return num_frames or None


class _FrameLength(NamedTuple):
    num_bytes: int
    num_samples: int


def _mpeg_frame_length(header: bytes) -> _FrameLength | None:
    """Size of a layer III frame by its header (ISO 11172-3, 2.4.1.3; ISO 13818-3, 2.4.1.3); None for other bytes."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version = (header[1] >> 3) & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    bit_rate, rate, padding = header[2] >> 4, (header[2] >> 2) & 3, (header[2] >> 1) & 1
    if version == 1 or rate == 3 or bit_rate in (0, 15):
        return None
    rate_hz = _MPEG_RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    kilobits, factor, num_samples = (_MPEG1_KBPS, 144, 1152) if version == 3 else (_MPEG2_KBPS, 72, 576)
    return _FrameLength(factor * 1000 * kilobits[bit_rate - 1] // rate_hz + padding, num_samples)
