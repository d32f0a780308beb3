"""The processes that load clips: how each begins, and what happens if one of them dies or the program ends early."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import weakref
from multiprocessing.sharedctypes import RawArray
from typing import Any

import torch
import torch.utils.data

from audio_dcls.errors import RunError

_IGNORED_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")
_REMEDIES = {
    "SIGKILL": "memory probably ran out: lower `data.num_workers` or the batch, or set `data.cache` to none",
    "SIGBUS": "/dev/shm is probably full: enlarge it (docker run --shm-size 2g), or set `data.num_workers` to 0",
}
_CRASHED = "a library probably crashed on that sound: convert it to WAV or FLAC, or remove it"
_iterators: weakref.WeakSet[Any] = weakref.WeakSet()
"""The iterators of all loaders, because torch ends their workers only when an iterator is collected."""


class ClipLoader(torch.utils.data.DataLoader[Any]):
    """A data loader that names a worker that dies, with its clip, and whose workers never outlive the program."""

    def __iter__(self) -> Any:
        if not self.num_workers:
            return super().__iter__()
        self.dataset.in_progress = RawArray("q", [-1] * self.num_workers)  # pyright: ignore[reportAttributeAccessIssue]
        iterator = super().__iter__()
        _iterators.add(iterator)
        if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
            _Batches.hold_back_torch()
        return _Batches(iterator)


class _Batches:
    """The batches of an iterator; the death of a worker is a `RunError` of `next`.

    torch raises an error in its handler of SIGCHLD, so at any moment of the program. Here that handler runs only while
    the program waits for a batch; a death at another moment is found by the next wait.
    """

    is_waiting = False
    torch_handler: Any = None

    def __init__(self, iterator: Any) -> None:
        self.iterator = iterator

    @classmethod
    def hold_back_torch(cls) -> None:
        """Put a handler before torch's, which it sets with the first loader."""
        if signal.getsignal(signal.SIGCHLD) != cls.handle:
            cls.torch_handler = signal.signal(signal.SIGCHLD, cls.handle)

    @classmethod
    def handle(cls, number: int, frame: Any) -> None:
        """Let torch report a death if the program waits for a batch."""
        if cls.is_waiting and callable(cls.torch_handler):
            cls.torch_handler(number, frame)

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> Any:
        try:
            return self._wait()
        except StopIteration:
            raise
        except Exception as error:
            number = self._dead_worker(error)
            if number is None:
                raise
            message = _describe_death(self.iterator, number)
            self.iterator._shutdown_workers()
            _kill(self.iterator)
            raise RunError(message) from error

    def _wait(self) -> Any:
        try:
            _Batches.is_waiting = True
            return next(self.iterator)
        finally:
            _Batches.is_waiting = False

    def _dead_worker(self, error: Exception) -> int | None:
        """The number of a worker that died, or None.

        A batch that a dying worker sends ends in an error of the connection, maybe before its death can be seen.
        """
        is_report = isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")
        wait_s = 2.0 if is_report or isinstance(error, OSError | EOFError) else 0.0
        for process in self.iterator._workers:
            process.join(wait_s / len(self.iterator._workers))
        codes = [process.exitcode for process in self.iterator._workers]
        return next((number for number, code in enumerate(codes) if code), None)


def begin_worker(worker: int) -> None:
    """Limit a worker to one thread, as the workers share the cores, and leave signals to the main process.

    Terminals and schedulers send signals to every process of a job. If a signal ended a worker, the training could not
    write its last checkpoint. A worker ends by itself after the main process.
    """
    torch.set_num_threads(1)
    for name in _IGNORED_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _describe_death(iterator: Any, number: int) -> str:
    process, dataset = iterator._workers[number], iterator._dataset
    name = signal.Signals(-process.exitcode).name if process.exitcode < 0 else ""
    end = f"was ended by {name}" if name else f"ended with exit code {process.exitcode}"
    index = dataset.in_progress[number]
    if index < 0:
        doing, remedy = "before its first clip", _REMEDIES.get(name, "its own message is printed above")
    else:
        clip = dataset.clips[index]
        doing, remedy = f"while it loaded clip '{clip.id}' from '{clip.path}'", _REMEDIES.get(name, _CRASHED)
    return (
        f"data worker {number + 1} of {len(iterator._workers)} (process {process.pid}) {end} {doing}; {remedy}; then "
        "run the command again (a training continues with --resume)"
    )


def _kill(iterator: Any) -> None:
    for process in iterator._workers:
        if process._parent_pid == os.getpid():  # a process forked by others has a copy of this list
            process.kill()
            process.join()


@atexit.register
def _kill_workers() -> None:
    """Kill the workers that an error left: Python would wait for them without end, as they ignore its SIGTERM."""
    for iterator in list(_iterators):
        _kill(iterator)
