"""Read the sound in a row of a Parquet file.

In packs of this package a sound is read from its position in the file, whatever the size of the shard. Other Parquet
files do not record positions: a whole row group is read, and the last ones are kept.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from pathlib import Path

import numpy as np

from audio_dcls.data.sound.sound_file import unusable
from audio_dcls.data.sound.stored_sound import EncodedSound, PcmSound, StoredSound
from audio_dcls.data.stores.codec import WAV_HEADER_BYTES, Codec, wav_header
from audio_dcls.data.stores.foreign_file import ForeignFile
from audio_dcls.data.stores.index import LENGTH_BYTES, PackIndex
from audio_dcls.data.stores.mirror import Mirror
from audio_dcls.data.stores.pack_file import INDEX_FILE, PACK_FILE, load_pack_info
from audio_dcls.data.stores.store import Store
from audio_dcls.errors import AudioFileError, ManifestError

_TOUCH_EVERY_READS = 64


class _PackReader:
    """The sounds of a complete pack or mirror, by shard and row. One process uses it, from any number of threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info = load_pack_info(Store(folder))
        self.mirror = Mirror.of(folder)
        index = PackIndex.open(folder / INDEX_FILE)
        self.offsets, self.lengths = index.numbers("offset"), index.numbers("length")
        firsts = np.cumsum([0, *(shard.num_rows for shard in self.info.shards)]).tolist()
        self.rows_of = {
            shard.name: range(first, last)
            for shard, first, last in zip(self.info.shards, firsts, firsts[1:], strict=False)
        }
        self.num_reads = 0

    def read(self, name: str, row: int) -> StoredSound:
        """Read the sound of a row, counted from 0 in the shard `name`.

        Raise an AudioFileError if the row is missing, or unreadable because the shard is not the one that was packed.
        """
        rows = self.rows_of.get(name, range(0))
        if not 0 <= row < len(rows):
            problem = f"has no row {row} in '{name}', which has {len(rows)}; load the manifest again"
            raise unusable(self.folder, "missing", problem)
        offset, length = int(self.offsets[rows[row]]), int(self.lengths[rows[row]])
        label = f"'{self.folder / name}', row {row}"
        try:
            content = self._bytes(name, offset - LENGTH_BYTES, length + LENGTH_BYTES)
        except (OSError, ManifestError) as error:
            missing = FileNotFoundError in (type(error), type(error.__cause__))
            problem = (
                f"{label} cannot be read: {error}; `audio-dcls pack verify {self.folder}` lists what else is wrong"
            )
            raise AudioFileError(problem, reason="missing" if missing else "unreadable") from error
        is_whole = len(content) == length + LENGTH_BYTES
        if not is_whole or int.from_bytes(content[:LENGTH_BYTES], "little") != length:
            problem = f"{label} is not at the position in the index: the shard is truncated, or belongs to another pack"
            raise AudioFileError(f"{problem}; run `audio-dcls pack verify {self.folder}`", reason="unreadable")
        return self._sound(content, length, label)

    def _sound(self, content: bytes, length: int, label: str) -> StoredSound:
        plan = self.info.plan
        if plan.codec is Codec.pcm16:
            num_samples = (length - WAV_HEADER_BYTES) // 2
            first = LENGTH_BYTES + WAV_HEADER_BYTES
            if content[LENGTH_BYTES:first] == wav_header(num_samples, plan.sample_rate_hz):
                # No copy: the array is a view of the bytes of the file.
                samples = np.frombuffer(content, dtype="<i2", count=num_samples, offset=first)
                return PcmSound(samples=samples, sample_rate_hz=plan.sample_rate_hz, name=label)
        return EncodedSound(content=content[LENGTH_BYTES:], name=label)

    def _bytes(self, name: str, offset: int, length: int) -> bytes:
        """Read some bytes of a shard; a file left open would take up space after its deletion from the mirror."""
        if self.mirror is None:
            return _read_at(self.folder / name, offset, length)
        if self.num_reads % _TOUCH_EVERY_READS == 0:
            self.mirror.touch(name)
        self.num_reads += 1
        while True:
            path = self.mirror.fetch(name)
            with contextlib.suppress(FileNotFoundError):  # deleted in the meantime: download it again
                return _read_at(path, offset, length)


def read_row(path: str | Path, row: int) -> StoredSound:
    """Read the sound in a row, counted from 0, of a shard of a pack or any Parquet file with a column of sounds.

    Each process opens the file on first use. Raise an AudioFileError (missing, empty or unreadable) if there is no such
    sound, and a ManifestError if the shard belongs to a pack that is not complete.
    """
    path = Path(path)
    folder = path.parent.parent
    pack = _open_pack(folder)
    if pack is not None:
        return pack.read(f"{path.parent.name}/{path.name}", row)
    mirror = _mirror_of(path)
    if mirror is not None:
        path = mirror.fetch(path.relative_to(mirror.folder).as_posix())
    return _open_foreign(path).read(row)


def is_packed(path: str | Path) -> bool:
    """Return whether a file is a shard of a pack of this package, whose clips were decoded during packing."""
    return _open_pack(Path(path).parent.parent) is not None


_opening = threading.RLock()


def _open_pack(folder: Path) -> _PackReader | None:
    with _opening:
        return _pack_of(folder)


@functools.lru_cache(maxsize=64)
def _pack_of(folder: Path) -> _PackReader | None:
    return _PackReader(folder) if (folder / PACK_FILE).is_file() else None


def _open_foreign(path: Path) -> ForeignFile:
    with _opening:
        return _foreign_of(path)


@functools.lru_cache(maxsize=64)
def _foreign_of(path: Path) -> ForeignFile:
    return ForeignFile(path)


@functools.lru_cache(maxsize=4096)
def _mirror_of(path: Path) -> Mirror | None:
    """The mirror that contains a file, at any depth."""
    return next((mirror for folder in path.parents if (mirror := Mirror.of(folder)) is not None), None)


def _forget() -> None:
    """Reset locks and open files in a forked process: the parent may hold the locks, and also reads from the files."""
    global _opening
    _opening = threading.RLock()
    for cached in (_pack_of, _foreign_of, _mirror_of):
        cached.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _read_at(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)
