"""Advisory locks between processes, on one machine or on a file system that several share.

A lock ends with the process that holds it, so a killed job leaves none behind. Where the system or the file system has
no such locks, nothing is held: two jobs must then not be given the same run.
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
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock while the body runs, if no other process holds it; whether it is held is given to the body.

    Args:
        path: file that stands for the lock; made if it is not there, and left there.
    """
    with _opened(path) as handle:
        held = _lock(handle, wait=False)
        try:
            yield held
        finally:
            if held:
                _unlock(handle)


@contextlib.contextmanager
def wait_for_lock(path: Path, on_wait: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold a lock while the body runs, after whoever holds it now.

    Args:
        path: as of `try_lock`.
        on_wait: called once if another process holds it.
    """
    with _opened(path) as handle:
        if not _lock(handle, wait=False):
            if on_wait is not None:
                on_wait()
            _lock(handle, wait=True)
        try:
            yield
        finally:
            _unlock(handle)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    _handles.add(handle)
    try:
        yield handle
    finally:
        _handles.discard(handle)
        os.close(handle)


def _leave_to_parent() -> None:
    """A forked worker must not keep a lock for the seconds that it outlives a killed parent."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _lock(handle: int, *, wait: bool) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            return True
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES) and not wait:
            return False
        raise
    return True


def _unlock(handle: int) -> None:
    # Said outright: worker processes forked meanwhile have the file open too, and closing it here would not end theirs.
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
