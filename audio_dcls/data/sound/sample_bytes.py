"""The samples of a WAV, W64 or AIFF file whose header does not count them all.

Sizes of 32 bits wrap at 4 GiB, and a recorder that is killed leaves a size of 0 or an old one.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_LAYOUTS = {b"RIFF": (12, "<4sI"), b"RF64": (12, "<4sI"), b"FORM": (12, ">4sI"), b"riff": (40, "<4s12xQ")}
"""First chunk, and the name and size in front of each chunk, by the first bytes of the file (`riff` is W64)."""
_UNKNOWN_SIZE = 0xFFFF_FFFF


def sample_bytes(stream: BinaryIO) -> tuple[int, int]:
    """First byte of the samples, and the byte after the last; (0, 0) if the file has no chunk of samples.

    The samples end where the header says, or a multiple of 4 GiB later, if chunks or nothing follow there; otherwise at
    the end of the file.
    """
    end = stream.seek(0, 2)
    stream.seek(0)
    position, form = _LAYOUTS.get(stream.read(4), (end, "<4sI"))
    long_size = _UNKNOWN_SIZE
    while chunk := _chunk(stream, position, form):
        name, first, after = chunk
        if name == b"ds64":
            long_size = int.from_bytes(stream.read(16)[8:], "little")
        if name in (b"data", b"SSND"):
            size = after - first if after - first != _UNKNOWN_SIZE else long_size
            ends = range(first + size, end + 1, 1 << 32)
            return first + 8 * (name == b"SSND"), next((p for p in ends if _is_end(stream, p, form, end)), end)
        position = _aligned(after, form)
    return 0, 0


def _chunk(stream: BinaryIO, position: int, form: str) -> tuple[bytes, int, int] | None:
    """Name, first byte and end of the chunk at a place; None if there is none."""
    stream.seek(position)
    if len(header := stream.read(struct.calcsize(form))) < struct.calcsize(form):
        return None
    name, size = struct.unpack(form, header)
    first = position + len(header)
    after = max(first, position + size if "Q" in form else first + size)  # W64 counts the header too
    return (name, first, after) if all(0x20 <= byte < 0x7F for byte in name) else None


def _aligned(position: int, form: str) -> int:
    return position + -position % (8 if "Q" in form else 2)


def _is_end(stream: BinaryIO, position: int, form: str, end: int) -> bool:
    """True if chunks, or nothing, are between a place and the end of the file."""
    position = _aligned(position, form)
    while position < end and (chunk := _chunk(stream, position, form)):
        position = _aligned(chunk[2], form)
    return end <= position < end + 8


class SampleStream:
    """Bytes `first` .. `last` - 1 of a stream, as a file for libsndfile."""

    def __init__(self, stream: BinaryIO, first: int, last: int) -> None:
        self.stream, self.first, self.last = stream, first, last
        stream.seek(first)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte."""
        return self.stream.seek(offset + (self.first, self.stream.tell(), self.last)[whence]) - self.first

    def tell(self) -> int:
        """Return the current place."""
        return self.stream.tell() - self.first

    def read(self, num_bytes: int) -> bytes:
        """Read bytes, fewer at the end."""
        return self.stream.read(max(0, min(num_bytes, self.last - self.stream.tell())))
