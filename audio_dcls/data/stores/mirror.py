"""A local mirror of a remote folder: shards are downloaded when they are read, and deleted when space is needed.

All processes of this machine share it: the process that first needs a file downloads it once, under a lock that is
released when the process ends.
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

_ORIGIN_FILE = "origin.json"
_LOCK_FOLDER = ".locks"
_DEFAULT_LIMIT_GB = 50.0
GB = 10**9
_ROOM_SUFFIX = ".room"
RETRY_AFTER_S = (1.0, 5.0, 20.0)
_ABANDONED_AFTER_S = 3600.0
"""A partial download that has not changed for this long was left by a process that died."""

_limit_gb: ContextVar[float | None] = ContextVar("limit_gb", default=None)


@contextlib.contextmanager
def shard_cache(limit_gb: float) -> Iterator[None]:
    """Manifests loaded in the body keep at most `limit_gb` x 10^9 bytes of each remote pack on this machine.

    The limit is stored next to the shards, so the processes that read them later, forked or spawned, obey it. Outside
    of the body, a pack keeps the last limit that was set for it, at first 50.
    """
    token = _limit_gb.set(limit_gb)
    try:
        yield
    finally:
        _limit_gb.reset(token)


@dataclass(frozen=True)
class Mirror:
    """The local folder of a remote address, the bytes of each shard, and the limit on those kept, in 10^9 bytes."""

    folder: Path
    address: str
    sizes: dict[str, int]
    limit_gb: float

    @classmethod
    def make(cls, address: str, fingerprint: bytes, sizes: dict[str, int]) -> Mirror:
        """Open the mirror of an address, or create it; `shard_cache` sets its limit.

        The `fingerprint` changes with the remote content; then the mirror is another folder. `sizes` are the bytes of
        each shard. Raise a ConfigError if the limit is smaller than the largest shard.
        """
        digest = hashlib.sha256(address.encode() + b"\0" + fingerprint).hexdigest()
        folder = cache_folder() / f"pack-{digest[:24]}"
        known = cls.of(folder)
        limit = _limit_gb.get() or (known.limit_gb if known else _DEFAULT_LIMIT_GB)
        largest = max(sizes.values(), default=0)
        if largest > limit * GB:
            rule = f"must be at least {largest / GB:.3g}, the size of the largest shard of '{address}'"
            raise ConfigError(f"`data.shard_cache_gb` (={limit:g}) {rule}, and preferably a few times that; raise it")
        mirror = cls(folder, address, sizes, limit)
        if mirror != known:
            document = json.dumps({"address": address, "limit_gb": limit, "sizes": sizes})
            Store(folder).write(_ORIGIN_FILE, document.encode())
        return mirror

    @classmethod
    def of(cls, folder: Path) -> Mirror | None:
        """The mirror in a folder; None if the folder is not a mirror."""
        try:
            document = json.loads((folder / _ORIGIN_FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return cls(folder, document["address"], document["sizes"], document["limit_gb"])

    def fetch(self, name: str) -> Path:
        """Return the local path of a shard, downloaded if necessary; other files of the address are never deleted.

        Raise a ManifestError if the file cannot be downloaded, or has changed remotely.
        """
        path = self.folder / name
        if path.is_file():
            return path
        with self._locked(name):
            if path.is_file():
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            room = _beside(path, _ROOM_SUFFIX)
            try:
                if name in self.sizes:
                    self._make_room(room, self.sizes[name])
                self._download(name, path)
            finally:
                room.unlink(missing_ok=True)
        return path

    def _download(self, name: str, path: Path) -> None:
        """Download a file, and retry if the network fails for a moment."""
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
            problem = f"'{self.address}/{name}' has {found} bytes, but {size} are listed"
            raise ManifestError(f"{problem}; it has changed, or is being written: try again when it is complete")
        part.replace(path)

    def touch(self, name: str) -> None:
        """Mark a shard as in use; shards unused for the longest time are deleted first."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.folder / name)

    def _make_room(self, room: Path, size: int) -> None:
        """Delete shards until `size` more bytes are within the limit; the sparse file `room` reserves them."""
        with self._locked("room"):
            shards = [self.folder / name for name in self.sizes]
            taken = [*shards, *(_beside(shard, _ROOM_SUFFIX) for shard in shards)]
            here = [(path.stat(), path) for path in taken if path.exists() and path != room]
            total = sum(status.st_size for status, _ in here)
            for status, path in sorted(here, key=lambda item: item[0].st_mtime):
                if total + size <= self.limit_gb * GB:
                    break
                if path.suffix == _ROOM_SUFFIX:
                    if time.time() - status.st_mtime < _ABANDONED_AFTER_S:
                        continue
                    path.with_suffix(PART_SUFFIX).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                total -= status.st_size
            with room.open("wb") as stream:
                stream.truncate(size)

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        folder = self.folder / _LOCK_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f"{name.replace('/', '-')}.lock"):
            yield


def mirrors_of(paths: Iterable[str], folder: Path) -> list[Mirror]:
    """The mirrors that contain any of the files, each once; paths are relative to `folder` unless absolute."""
    # Two million clips are stored in a few thousand files, and those in a few folders.
    folders = [folder / name for name in dict.fromkeys(os.path.dirname(path) for path in dict.fromkeys(paths))]
    ancestors = dict.fromkeys(ancestor for own in folders for ancestor in (own, *own.parents))
    return [mirror for ancestor in ancestors if (mirror := Mirror.of(ancestor)) is not None]


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}{suffix}")
