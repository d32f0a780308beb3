"""A folder on this machine that stands for a folder elsewhere: its shards come when they are read, and go when room is
needed.

Every process of this machine shares it: a file is fetched once, by whoever needs it first, under a lock that ends with
its process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import filelock

from audio_dcls.data.stores.store import PART_SUFFIX, Store
from audio_dcls.errors import ConfigError, ManifestError
from audio_dcls.files import cache_folder

ORIGIN_FILE = "origin.json"
LOCK_FOLDER = ".locks"
DEFAULT_LIMIT_GB = 50.0
GB = 10**9
ROOM_SUFFIX = ".room"
RETRY_AFTER_S = (1.0, 5.0, 20.0)
ABANDONED_AFTER_S = 3600.0
"""A file half fetched and untouched for this long was left by a process that died."""


_limit_gb: ContextVar[float | None] = ContextVar("limit_gb", default=None)


@contextlib.contextmanager
def shard_cache(limit_gb: float) -> Iterator[None]:
    """What is loaded in the body keeps at most `limit_gb` x 10^9 bytes of each remote pack on this machine.

    The limit is written down beside the shards, so the processes that read them later, forked or spawned, keep to it.
    Elsewhere a pack has the limit it was last given, at first 50.
    """
    token = _limit_gb.set(limit_gb)
    try:
        yield
    finally:
        _limit_gb.reset(token)


@dataclass(frozen=True)
class Mirror:
    """What is elsewhere, and how much of it may be here."""

    folder: Path
    """Here."""
    address: str
    """There."""
    sizes: dict[str, int]
    """Bytes of each shard, by name."""
    limit_gb: float
    """Most 10^9 bytes of shards that are kept here."""

    @classmethod
    def make(cls, address: str, fingerprint: bytes, sizes: dict[str, int]) -> Mirror:
        """The mirror of an address, made if it is new; its limit is that of `shard_cache`.

        Args:
            address: folder elsewhere.
            fingerprint: anything that changes when the content there does; the mirror is then another folder.
            sizes: bytes of each shard.

        Raises:
            ConfigError: the limit is below the largest shard.
        """
        digest = hashlib.sha256(address.encode() + b"\0" + fingerprint).hexdigest()
        folder = cache_folder() / f"pack-{digest[:24]}"
        known = cls.of(folder)
        limit = _limit_gb.get() or (known.limit_gb if known else DEFAULT_LIMIT_GB)
        largest = max(sizes.values(), default=0)
        if largest > limit * GB:
            raise ConfigError(
                f"`data.shard_cache_gb` (={limit:g}) must be at least {largest / GB:.3g}, the size of the largest "
                f"shard of '{address}', and better a few times that; raise it"
            )
        mirror = cls(folder, address, sizes, limit)
        if mirror != known:
            document = {"address": address, "limit_gb": limit, "sizes": sizes}
            Store(folder).write(ORIGIN_FILE, json.dumps(document).encode())
        return mirror

    @classmethod
    def of(cls, folder: Path) -> Mirror | None:
        """The mirror that a folder is; None if it is an ordinary folder."""
        try:
            document = json.loads((folder / ORIGIN_FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return cls(folder, document["address"], document["sizes"], document["limit_gb"])

    def fetch(self, name: str) -> Path:
        """The local path of a file; fetched first if it is not here.

        Args:
            name: one of the shards, or another file of the address, which is then kept for good.

        Raises:
            ManifestError: it cannot be fetched, or has changed there.
        """
        path = self.folder / name
        if path.is_file():
            return path
        with self._locked(name):
            if path.is_file():
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            room = _beside(path, ROOM_SUFFIX)
            try:
                if name in self.sizes:
                    self._make_room(room, self.sizes[name])
                self._download(name, path)
            finally:
                room.unlink(missing_ok=True)
        return path

    def _download(self, name: str, path: Path) -> None:
        """Fetch a file, trying again where the network fails for a moment."""
        part = _beside(path, PART_SUFFIX)
        for wait_s in (*RETRY_AFTER_S, None):
            try:
                Store(self.address).fetch(name, part)
                break
            except ManifestError as error:
                if wait_s is None or isinstance(error.__cause__, FileNotFoundError):
                    raise
                time.sleep(wait_s)
        size, found = self.sizes.get(name), part.stat().st_size
        if size is not None and found != size:
            part.unlink()
            raise ManifestError(
                f"'{self.address}/{name}' has {found} bytes, listed are {size}; it has changed there, or is being "
                "written: begin again when it is whole"
            )
        part.replace(path)

    def touch(self, name: str) -> None:
        """Say that a shard is in use: those not in use for longest go first."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.folder / name)

    def _make_room(self, room: Path, size: int) -> None:
        """Delete shards until `size` bytes more are within the limit; `room` keeps them free, and takes none itself."""
        with self._locked("room"):
            shards = [self.folder / name for name in self.sizes]
            taken = [*shards, *(_beside(shard, ROOM_SUFFIX) for shard in shards)]
            here = [(path.stat(), path) for path in taken if path.exists() and path != room]
            total = sum(status.st_size for status, _ in here)
            for status, path in sorted(here, key=lambda item: item[0].st_mtime):
                if total + size <= self.limit_gb * GB:
                    break
                if path.suffix == ROOM_SUFFIX:
                    if time.time() - status.st_mtime < ABANDONED_AFTER_S:
                        continue
                    path.with_suffix(PART_SUFFIX).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                total -= status.st_size
            with room.open("wb") as stream:
                stream.truncate(size)

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        folder = self.folder / LOCK_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f"{name.replace('/', '-')}.lock"):
            yield


def mirrors_of(paths: Iterable[str], folder: Path) -> list[Mirror]:
    """The mirrors that hold any of the files, each once.

    Args:
        paths: files, relative to `folder` unless absolute.
        folder: where they are.
    """
    # Two million clips lie in a few thousand files, and those in a few folders.
    folders = [folder / name for name in dict.fromkeys(os.path.dirname(path) for path in dict.fromkeys(paths))]
    ancestors = dict.fromkeys(ancestor for own in folders for ancestor in (own, *own.parents))
    return [mirror for ancestor in ancestors if (mirror := Mirror.of(ancestor)) is not None]


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}{suffix}")
