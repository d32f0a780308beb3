"""Advisory locks between processes, on one machine or on a file system that several share.

A lock ends with the process that holds it, so a killed job leaves no lock. If the system or the file system has no such
locks, nothing is locked: do not start two jobs for the same run then.

The `filelock` package does not serve here: on file systems without locks it raises an error, or falls back to a lock
file that a killed job leaves behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

_handles: set[int] = set()
_NO_LOCKS_ERRORS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock while the body runs, unless another process holds it; the body gets True if the lock is held.

    The lock's file is created if needed, and never deleted.
    """
    with _opened(path) as handle:
        yield _lock(handle, wait=False)


@contextlib.contextmanager
def wait_for_lock(path: Path, on_wait: Callable[[], object] | None = None) -> Iterator[None]:
    """Wait until no other process holds a lock, and hold it while the body runs.

    `on_wait` is called once if another process holds the lock.
    """
    with _opened(path) as handle:
        if not _lock(handle, wait=False):
            if on_wait is not None:
                on_wait()
            _lock(handle, wait=True)
        yield


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    _handles.add(handle)
    try:
        yield handle
    finally:
        # Unlock explicitly: closing the file would not unlock it while a forked process has it open.
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
        _handles.discard(handle)
        os.close(handle)


def _close_in_child() -> None:
    """Close the locks in a forked worker, so that it does not hold them after its parent was killed."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _lock(handle: int, *, wait: bool) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS_ERRORS:
            return True
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES) and not wait:
            return False
        raise
    return True
