"""A folder at any address that fsspec supports: a local path, s3://, gs://, memory:// and others.

A file appears completely or not at all. A local file is written under a temporary name, flushed to disk and renamed. An
object store cannot rename; there a file appears when its upload ends.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import fsspec.core

from audio_dcls.errors import ManifestError
from audio_dcls.files import replacing

PART_SUFFIX = ".part"
_REMOTE_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)


class Store:
    """The files under one address: a folder's path, or an address such as `s3://bucket/pack`.

    Every method raises a ManifestError if a file does not exist or cannot be read or written; so does the class itself
    if the kind of address is unknown, or its package is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder)
    ...     store.write("a/b.txt", b"hello")
    ...     store.read("a/b.txt"), store.size("a/b.txt"), store.names()
    (b'hello', 5, ['a/b.txt'])
    """

    def __init__(self, address: str | Path) -> None:
        self.address = str(address).rstrip("/")
        self.is_local = is_local(self.address)
        self.folder = Path(self.address.removeprefix("file://").removeprefix("local://"))
        if not self.is_local:
            self._remote()

    def size(self, name: str) -> int | None:
        """The size of a file in bytes; None if the file does not exist."""
        if self.is_local:
            path = self.folder / name
            return path.stat().st_size if path.is_file() else None
        files, root = self._remote()
        with self._naming(name):
            try:
                details = files.info(f"{root}/{name}")
            except FileNotFoundError:
                return None
        return int(details["size"]) if details["type"] == "file" else None

    def read(self, name: str) -> bytes:
        """Read the content of a file."""
        with self._naming(name):
            if self.is_local:
                return (self.folder / name).read_bytes()
            files, root = self._remote()
            return files.cat_file(f"{root}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Write a file in one step."""
        with self.writing(name) as path:
            path.write_bytes(content)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a local file to write; at the end of the body it becomes the file `name`."""
        with self._naming(name):
            if self.is_local:
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                # One name for every attempt: the next one overwrites what a killed one left.
                with replacing(path, path.with_name(f".{path.name}{PART_SUFFIX}")) as part:
                    yield part
                return
            with tempfile.TemporaryDirectory() as folder:
                part = Path(folder) / "file"
                yield part
                files, root = self._remote()
                files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
                files.put_file(str(part), f"{root}/{name}")

    def remove(self, name: str) -> None:
        """Delete a file if it exists."""
        if self.size(name) is None:
            return
        with self._naming(name):
            if self.is_local:
                (self.folder / name).unlink()
            else:
                files, root = self._remote()
                files.rm_file(f"{root}/{name}")

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to the local `path`."""
        with self._naming(name):
            files, root = self._remote()
            files.get_file(f"{root}/{name}", str(path))

    def opened(self, name: str) -> IO[bytes]:
        """Open a file for reading at any position; the caller closes it."""
        with self._naming(name):
            if self.is_local:
                return (self.folder / name).open("rb")
            files, root = self._remote()
            return files.open(f"{root}/{name}", "rb")

    def names(self) -> list[str]:
        """All files under the address, sorted, except those whose names begin with a dot."""
        if self.is_local:
            paths = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
            found = [path.as_posix() for path in paths]
        else:
            files, root = self._remote()
            with self._naming(""):
                try:
                    listed = files.find(root)
                except FileNotFoundError:
                    listed = []
            found = [name.lstrip("/").removeprefix(root.lstrip("/")).lstrip("/") for name in listed]
        return sorted(name for name in found if not name.rpartition("/")[2].startswith("."))

    def _remote(self) -> tuple[Any, str]:
        """The file system and the folder in it, looked up each time, because connections do not survive a fork."""
        try:
            files, root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise ManifestError(
                f"'{self.address}' cannot be opened: {error}; install what is missing, for example "
                "`pip install 'audio-dcls[s3]'`, or check the address"
            ) from error
        return files, root.rstrip("/")

    @contextlib.contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Turn errors of the disk or the network into an error that names the file."""
        place = f"{self.address}/{name}".rstrip("/")
        try:
            yield
        except FileNotFoundError as error:
            raise ManifestError(f"'{place}' does not exist; check the address") from error
        except (OSError, *_remote_errors()) as error:
            detail = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
            raise ManifestError(
                f"'{place}' cannot be read or written: {detail}; check the address, access to it and the space left"
            ) from error


def _remote_errors() -> tuple[type[Exception], ...]:
    """The errors of the loaded object-store packages that are not subclasses of OSError."""
    return tuple(getattr(sys.modules[module], name) for module, name in _REMOTE_ERRORS if module in sys.modules)


def is_local(address: str | Path) -> bool:
    """Return whether an address is a local path.

    >>> is_local("packs/audioset"), is_local("file:///data"), is_local("s3://bucket/pack"), is_local("memory://pack")
    (True, True, False, False)
    """
    protocol, separator, _ = str(address).partition("://")
    return not separator or protocol in ("file", "local")
