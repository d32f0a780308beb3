"""The serial number of an Ogg stream, which libsndfile draws at random, made the same every time.

A page (RFC 3533, section 6): `OggS`, ..., the stream's serial number at byte 14, a checksum at byte 22, the number of
segments at byte 26, their lengths, then the segments.
"""

from __future__ import annotations

import zlib

from audio_dcls.errors import ArgumentError

CAPTURE = b"OggS"
SERIAL = slice(14, 18)
CHECKSUM = slice(22, 26)
NUM_SEGMENTS = 26
HEADER_BYTES = 27
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_serial(content: bytes, serial: int) -> bytes:
    """An Ogg file of one stream with another serial number, its checksums mended.

    Args:
        content: a whole file.
        serial: 0 to 2^32 - 1.

    Raises:
        ArgumentError: the content is no sequence of Ogg pages.
    """
    pages = []
    position = 0
    while position < len(content):
        length = _page_length(content, position)
        page = bytearray(content[position : position + length])
        page[SERIAL] = serial.to_bytes(4, "little")
        page[CHECKSUM] = bytes(4)
        page[CHECKSUM] = ogg_checksum(bytes(page)).to_bytes(4, "little")
        pages.append(page)
        position += length
    return b"".join(pages)


def ogg_checksum(page: bytes) -> int:
    """CRC-32 of Ogg: polynomial 0x04c11db7, most significant bit first, starting at 0, nothing inverted.

    zlib's goes through the bits the other way round, starts at all ones and inverts: so bytes are mirrored on the way
    in, the result on the way out, and both inversions undone. That is a hundred times faster than a loop.

    >>> hex(ogg_checksum(b"123456789"))  # 0x765e7680 for POSIX cksum's CRC-32, which is inverted at the end
    '0x89a1897f'
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _page_length(content: bytes, position: int) -> int:
    header = content[position : position + HEADER_BYTES]
    if len(header) == HEADER_BYTES and header.startswith(CAPTURE):
        num_segments = header[NUM_SEGMENTS]
        lengths = content[position + HEADER_BYTES : position + HEADER_BYTES + num_segments]
        length = HEADER_BYTES + num_segments + sum(lengths)
        if position + length <= len(content):
            return length
    raise ArgumentError(f"`content` must be Ogg pages, and has none at byte {position}; give a whole file")
