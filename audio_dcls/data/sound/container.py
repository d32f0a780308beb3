"""How much sound a file's container promises, so that a file cut short is noticed.

libsndfile opens a truncated wav, aiff or ogg as if it were whole, with the frames that are left; flac and mp3 keep the
promised length and fail, or stop, on the way.
"""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import NamedTuple

import soundfile

from audio_dcls.data.sound.stored_sound import EncodedSound

UNKNOWN_FRAMES = 2**62
"""libsndfile reports 2^63 - 1 frames where a header gives no length."""

OGG_MAX_PAGE_BYTES = 65_307
OGG_PAGE_HEADER_BYTES = 27
ID3_HEADER_BYTES = 10
MPEG_FIRST_FRAME_BYTES = 2_048
MPEG_RATES_HZ = (44_100, 48_000, 32_000)
MPEG1_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
STREAMED_BYTES = range(0x7FFF_0000, 0x1_0000_0000)
"""Sizes written by programs that stream a header before they know the length."""

# libsndfile's log of a header whose size does not fit the file; RF64 and W64 log only the outermost size.
_DATA_SIZE = re.compile(r"^\s*(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_OUTER_SIZE = re.compile(r"^\s*(?:riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)


def promised_frames(sound: soundfile.SoundFile, path: Path | EncodedSound) -> float | None:
    """Number of frames the container says it holds.

    Returns:
        A number of frames at the file's own rate, for a whole file that of `sound.frames`; infinity for an ogg file
        that breaks off in the middle of a page, as nothing says how much is lost; None where nothing can be said.
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
    if promised_bytes in STREAMED_BYTES or promised_bytes <= actual_bytes:
        return sound.frames
    return round(sound.frames * promised_bytes / actual_bytes) if sound.frames and actual_bytes else math.inf


def _breaks_off_in_ogg_page(path: Path | EncodedSound) -> bool:
    """Whether the last page (RFC 3533, section 6) is longer than what is left of the file."""
    with io.BytesIO(path.content) if isinstance(path, EncodedSound) else path.open("rb") as stream:
        num_bytes = stream.seek(0, 2)
        stream.seek(max(0, num_bytes - OGG_MAX_PAGE_BYTES))
        tail = stream.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if not page.startswith(b"OggS"):
        return False
    if len(page) < OGG_PAGE_HEADER_BYTES:
        return True
    num_segments = page[OGG_PAGE_HEADER_BYTES - 1]
    segments = page[OGG_PAGE_HEADER_BYTES : OGG_PAGE_HEADER_BYTES + num_segments]
    return len(page) < OGG_PAGE_HEADER_BYTES + num_segments + sum(segments)


def _mpeg_frames(sound: soundfile.SoundFile, path: Path | EncodedSound) -> float | None:
    """What the first frame promises in its Xing, Info or VBRI header; without one, a count of the frames.

    libsndfile guesses the length of such a file from the bit rate of its first frame, and stops there.
    """
    content = path.content if isinstance(path, EncodedSound) else path.read_bytes()
    first = 0
    if content.startswith(b"ID3") and len(content) > ID3_HEADER_BYTES:  # https://id3.org/id3v2.4.0-structure, 3.1
        size = content[ID3_HEADER_BYTES - 4 : ID3_HEADER_BYTES]
        first = ID3_HEADER_BYTES + sum((byte & 0x7F) << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=True))
    if any(mark in content[first : first + MPEG_FIRST_FRAME_BYTES] for mark in (b"Xing", b"Info", b"VBRI")):
        return sound.frames
    num_frames = 0
    position = first
    while (length := _mpeg_frame_length(content[position : position + 4])) is not None:
        num_frames += length.num_samples
        position += length.num_bytes
    return num_frames or None


class _FrameLength(NamedTuple):
    num_bytes: int
    num_samples: int


def _mpeg_frame_length(header: bytes) -> _FrameLength | None:
    """Size of a layer III frame from its header (ISO 11172-3, 2.4.1.3; ISO 13818-3, 2.4.1.3), None if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version = (header[1] >> 3) & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    bit_rate, rate, padding = header[2] >> 4, (header[2] >> 2) & 3, (header[2] >> 1) & 1
    if version == 1 or rate == 3 or bit_rate in (0, 15):
        return None
    rate_hz = MPEG_RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    kilobits, factor, num_samples = (MPEG1_KBPS, 144, 1152) if version == 3 else (MPEG2_KBPS, 72, 576)
    return _FrameLength(factor * 1000 * kilobits[bit_rate - 1] // rate_hz + padding, num_samples)
