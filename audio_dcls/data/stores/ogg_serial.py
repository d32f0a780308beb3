"""Replace the serial number of an Ogg stream, which libsndfile draws at random, by a fixed one.

A page (RFC 3533, section 6): `OggS`, ..., the stream's serial number at byte 14, a checksum at byte 22, the number of
segments at byte 26, their lengths, then the segments.
"""

from __future__ import annotations

import zlib

from audio_dcls.errors import ArgumentError

_CAPTURE = b"OggS"
_SERIAL = slice(14, 18)
_CHECKSUM = slice(22, 26)
_NUM_SEGMENTS = 26
_HEADER_BYTES = 27
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_serial(content: bytes, serial: int) -> bytes:
    """An Ogg file of one stream with another serial number, 0 to 2^32 - 1, and updated checksums.

    Raise an ArgumentError if the content is not a sequence of Ogg pages.
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
