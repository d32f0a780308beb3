"""Forty uploads that are not sound, or are sound that the service must refuse."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np

from tests.service.conftest import RATE_HZ, sound_bytes, wav


def bad_sounds() -> dict[str, bytes]:
    """Uploads by their fault; the limits are 60 s and 8 channels."""
    good = wav(1.0)
    flac = sound_bytes(np.random.default_rng(0).uniform(-0.5, 0.5, (RATE_HZ, 1)), RATE_HZ, "FLAC")
    ogg = sound_bytes(np.random.default_rng(0).uniform(-0.5, 0.5, (RATE_HZ, 1)), RATE_HZ, "OGG")
    noise = np.random.default_rng(1)
    return {
        "empty": b"",
        "one byte": b"R",
        "text": b"dog barking, 3 seconds\n" * 50,
        "json": json.dumps({"sound": [0.1] * 1000}).encode(),
        "html": b"<!doctype html><title>404</title>" * 30,
        "zeros": bytes(100_000),
        "random bytes": noise.bytes(100_000),
        "utf-16": ("Hund" * 1000).encode("utf-16"),
        "pickle": b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "elf": b"\x7fELF\x02\x01\x01" + bytes(5000),
        "png": b"\x89PNG\r\n\x1a\n" + noise.bytes(5000),
        "pdf": b"%PDF-1.7\n" + noise.bytes(5000),
        "deep zip": _deep(_zip, 40),
        "deep gzip": _deep(gzip.compress, 40),
        "zip bomb": _zip(bytes(50_000_000)),
        "tar": _tar(good),
        "gzipped wav": gzip.compress(good),
        "riff header alone": good[:12],
        "wav header alone": good[:44],
        "wav cut": good[: len(good) // 3],
        "flac cut": flac[: len(flac) // 3],
        "ogg cut": ogg[: len(ogg) // 3],
        "flac with a hole": flac[:200] + bytes(len(flac) // 2) + flac[200 + len(flac) // 2 :],
        "wav that declares 2 GB": good[:40] + struct.pack("<I", 2_000_000_000) + good[44:],
        "riff that lies": b"RIFF" + struct.pack("<I", 10) + b"WAVEfmt " + struct.pack("<I", 2**31) + good[20:],
        "0 Hz": _header(good, rate_hz=0),
        "4 GHz": _header(good, rate_hz=4_000_000_000),
        "0 channels": _header(good, channels=0),
        "65535 channels": _header(good, channels=65_535),
        "1000 channels": sound_bytes(np.zeros((200, 1000)), RATE_HZ),
        "0 bits": _header(good, bits=0),
        "unknown codec": _header(good, codec=0xFFFE),
        "nan": sound_bytes(np.full((RATE_HZ, 1), np.nan), RATE_HZ, subtype="FLOAT"),
        "infinity": sound_bytes(np.full((RATE_HZ, 1), np.inf), RATE_HZ, subtype="FLOAT"),
        "24 hours of silence": _silent_flac(24 * 3600),
        "24 hours that are not there": _declared_flac(24 * 3600),
        "no samples": sound_bytes(np.zeros((0, 1)), RATE_HZ),
        "mp4 of nothing": b"\x00\x00\x00\x1cftypM4A " + noise.bytes(3000),
        "webm of nothing": b"\x1aE\xdf\xa3" + noise.bytes(3000),
        "id3 of 256 MB": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + noise.bytes(3000),
        "midi": b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x60MTrk" + noise.bytes(200),
        "m3u of files": b"#EXTM3U\n/etc/passwd\nfile:///etc/shadow\n",
    }


def _deep(wrap: Callable[[bytes], bytes], depth: int) -> bytes:
    content = bytes(1000)
    for _ in range(depth):
        content = wrap(content)
    return content


def _zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../sound.wav", content)
    return file.getvalue()


def _tar(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("/etc/sound.wav")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def _header(
    content: bytes, *, rate_hz: int | None = None, channels: int | None = None, bits: int | None = None, codec: int = 1
) -> bytes:
    """A wav file with another format chunk."""
    fields = list(struct.unpack("<HHIIHH", content[20:36]))
    fields[0] = codec
    fields[1] = fields[1] if channels is None else channels
    fields[2] = fields[2] if rate_hz is None else rate_hz
    fields[5] = fields[5] if bits is None else bits
    return content[:20] + struct.pack("<HHIIHH", *fields) + content[36:]


def _silent_flac(seconds: int) -> bytes:
    """Silence at 8 kHz; a day takes a few megabytes."""
    return sound_bytes(np.zeros((8000 * seconds, 1), dtype=np.int16), 8000, "FLAC", "PCM_16")


def _declared_flac(seconds: int) -> bytes:
    """A second of sound, and a header that says there is a day of it (RFC 9639, section 8.2)."""
    content = bytearray(sound_bytes(np.zeros((RATE_HZ, 1), dtype=np.int16), RATE_HZ, "FLAC", "PCM_16"))
    place = content.index(b"fLaC") + 8 + 10
    bits = int.from_bytes(content[place : place + 8], "big")
    total = (bits >> 36 << 36) | (seconds * RATE_HZ)
    content[place : place + 8] = total.to_bytes(8, "big")
    return bytes(content)
