"""Encode the sound of a clip for a pack: the same waveform always gives the same bytes of a sound file."""

from __future__ import annotations

import io
import struct
import zlib
from enum import StrEnum

import numpy as np
import soundfile

from audio_dcls.errors import ArgumentError

WAV_HEADER_BYTES = 44
_OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
_FULL_SCALE = 32_768.0
"""libsndfile reads one 16-bit step as 1 / 32 768, so a 16-bit sound at the rate of the pack is stored exactly."""

# A page of Ogg (RFC 3533, section 6): `OggS`, ..., the stream's serial number at byte 14, a checksum at byte 22, the
# number of segments at byte 26, their lengths, then the segments.
_CAPTURE = b"OggS"
_SERIAL = slice(14, 18)
_CHECKSUM = slice(22, 26)
_NUM_SEGMENTS = 26
_HEADER_BYTES = 27
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Codec(StrEnum):
    """The format in which a pack stores sounds."""

    flac = "flac"
    """16-bit FLAC: lossless, about half the size of pcm16."""
    pcm16 = "pcm16"
    """16-bit WAV: the fastest to read."""
    opus = "opus"
    """Ogg Opus: lossy, a tenth of the size."""
    source = "source"
    """The file that a clip comes from, unchanged, with the times of the clip."""

    @property
    def suffix(self) -> str:
        """Extension of a stored file; empty for `source`, where files keep their own."""
        return {"flac": ".flac", "pcm16": ".wav", "opus": ".ogg", "source": ""}[self.value]


def stored_rate_hz(codec: Codec, sample_rate_hz: int) -> int:
    """The rate at which a codec stores sounds: the given one, or 48 kHz if Opus does not support that.

    >>> stored_rate_hz(Codec.flac, 32_000), stored_rate_hz(Codec.opus, 32_000), stored_rate_hz(Codec.opus, 16_000)
    (32000, 48000, 16000)
    """
    if codec is Codec.opus and sample_rate_hz not in _OPUS_RATES_HZ:
        return _OPUS_RATES_HZ[-1]
    return sample_rate_hz


def encode(waveform: np.ndarray, sample_rate_hz: int, codec: Codec) -> bytes:
    """Encode a waveform (T,) float32 as a sound file; values outside ±1 are clipped.

    The rate is that of `stored_rate_hz`. Raise an ArgumentError if the codec is `source`, which encodes nothing.

    >>> sound = encode(np.zeros(320, dtype=np.float32), 32_000, Codec.pcm16)
    >>> len(sound), soundfile.read(io.BytesIO(sound))[1]
    (684, 32000)
    """
    if codec is Codec.source:
        raise ArgumentError("`codec` (='source') encodes nothing: store the file's own bytes")
    if codec is Codec.pcm16:
        samples = _to_int16(waveform)
        return wav_header(len(samples), sample_rate_hz) + samples.tobytes()
    if codec is Codec.flac:
        stream = io.BytesIO()
        soundfile.write(stream, _to_int16(waveform), sample_rate_hz, format="FLAC", subtype="PCM_16")
        return stream.getvalue()
    return with_serial(_encode_opus(waveform, sample_rate_hz), 0)


def wav_header(num_samples: int, sample_rate_hz: int) -> bytes:
    """The 44 bytes before the samples of a mono 16-bit WAV file (RIFF, `fmt ` and `data` chunks, nothing else).

    >>> wav_header(0, 32_000)[:4], len(wav_header(0, 32_000))
    (b'RIFF', 44)
    """
    num_bytes = 2 * num_samples
    riff = struct.pack("<4sI4s", b"RIFF", WAV_HEADER_BYTES - 8 + num_bytes, b"WAVE")
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16)
    return riff + layout + struct.pack("<4sI", b"data", num_bytes)


def _to_int16(waveform: np.ndarray) -> np.ndarray:
    scaled = np.rint(waveform * np.float32(_FULL_SCALE))
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")


def _encode_opus(waveform: np.ndarray, sample_rate_hz: int) -> bytes:
    """Encode one second at a time, because libsndfile's encoders fail on long writes."""
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", sample_rate_hz, 1, subtype="OPUS", format="OGG") as sound:
        for first in range(0, len(waveform), sample_rate_hz):
            sound.write(waveform[first : first + sample_rate_hz])
    return stream.getvalue()


def with_serial(content: bytes, serial: int) -> bytes:
    """An Ogg file of one stream with another serial number, 0 to 2^32 - 1, and updated checksums.

    libsndfile draws the number at random. Raise an ArgumentError if the content is not a sequence of Ogg pages.
    """
    pages = []
    position = 0
    while position < len(content):
        length = _page_length(content, position)
        page = bytearray(content[position : position + length])
        page[_SERIAL] = serial.to_bytes(4, "little")
        page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = ogg_checksum(bytes(page)).to_bytes(4, "little")
        pages.append(page)
        position += length
    return b"".join(pages)


def ogg_checksum(page: bytes) -> int:
    """The CRC-32 of Ogg: polynomial 0x04c11db7, most significant bit first, starting at 0, nothing inverted.

    zlib's CRC-32 processes the bits in reverse order, starts with all ones, and inverts the result. So the bits of each
    byte and of the result are reversed, and both inversions are undone. This is a hundred times faster than a loop.

    >>> hex(ogg_checksum(b"123456789"))  # 0x765e7680 for POSIX cksum's CRC-32, which is inverted at the end
    '0x89a1897f'
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _page_length(content: bytes, position: int) -> int:
    header = content[position : position + _HEADER_BYTES]
    if len(header) == _HEADER_BYTES and header.startswith(_CAPTURE):
        num_segments = header[_NUM_SEGMENTS]
        lengths = content[position + _HEADER_BYTES : position + _HEADER_BYTES + num_segments]
        length = _HEADER_BYTES + num_segments + sum(lengths)
        if position + length <= len(content):
            return length
    raise ArgumentError(f"`content` must be Ogg pages, and has no page at byte {position}; give a complete file")
