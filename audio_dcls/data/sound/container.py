"""The length that a file's container promises, so that truncated files are found.

libsndfile opens a truncated wav, aiff or ogg as if it were complete, with the remaining frames; flac and mp3 keep the
promised length and fail, or stop, while they are read.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import soundfile

from audio_dcls.data.sound.mpeg_frames import promised_mpeg_samples
from audio_dcls.data.sound.stored_sound import EncodedSound, open_bytes, read_bytes

UNKNOWN_FRAMES = 2**62
"""libsndfile reports 2^63 - 1 frames if a header gives no length."""

_OGG_MAX_PAGE_BYTES = 65_307
_OGG_PAGE_HEADER_BYTES = 27
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
        return promised_mpeg_samples(read_bytes(path), sound.frames) or None
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
