"""Files that are written whole or not at all, their digests, and this program's cache folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from audio_dcls.errors import ArgumentError

CACHE_VARIABLE = "AUDIO_DCLS_CACHE"
"""Names another cache folder."""


def path_remedy(path: object) -> str:
    r"""What to do about a path that does not exist.

    >>> path_remedy(r"C:\sounds\dog.wav") if os.sep == "/" else "its backslashes are Windows's: write / instead"
    "its backslashes are Windows's: write / instead"
    """
    return "its backslashes are Windows's: write / instead" if os.sep == "/" and "\\" in str(path) else "check the path"


@contextlib.contextmanager
def replacing(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """A temporary file in the same folder that becomes `path` when the body ends.

    A reader, or a machine that loses power, sees the old content or the new content, never a mixture: the temporary
    file is flushed to disk before it takes the name. Where the body or the disk fails, `path` stays as it was. The
    folder exists. `temporary` is another name in it, by default one of this process alone; if only one process writes
    at a time, a fixed name lets the next attempt overwrite what a killed one left. An `OSError` names `path`.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("1 2 3")
    >>> target.read_text()
    '1 2 3'
    """
    temporary = temporary or path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _errors_naming(path, temporary):
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            flush_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | bytearray) -> None:
    """Replace the content of a file in one step (see `replacing`)."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def try_place(path: Path) -> None:
    """Make the folder of a file and write in it, so that a wrong place is found before the work; `ArgumentError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise ArgumentError(f"'{path}' cannot be written: {error.strerror}; choose another place") from error


def flush_folder(folder: Path) -> None:
    """Write a folder's list of names to disk, on systems that can: files renamed into it survive a power cut."""
    if os.name == "posix":
        _flush(folder, os.O_RDONLY)


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in 64 hexadecimal digits. Raises `OSError` if the file cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """The folder for what can be fetched again: the variable `AUDIO_DCLS_CACHE`, or else the system's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("audio-dcls"))


@contextlib.contextmanager
def _errors_naming(path: Path, temporary: Path) -> Iterator[None]:
    """Report an error of the temporary file under the name that the caller gave."""
    try:
        yield
    except OSError as error:
        is_other = error.filename is not None and str(error.filename) not in (str(temporary), str(path.parent))
        if is_other or error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error


def _flush(path: Path, flags: int = os.O_RDWR) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
