"""The processes that load clips: how each begins, and what happens if one of them dies or the program ends early."""

from __future__ import annotations

import atexit
import contextlib
import signal
import threading
import weakref
from collections.abc import Iterator
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
    """A data loader whose workers never outlive the program, and whose dataset knows which clip each worker loads."""

    def __iter__(self) -> Any:
        if self.num_workers:
            self.dataset.in_progress = RawArray("q", [-1] * self.num_workers)  # pyright: ignore[reportAttributeAccessIssue]
        iterator = super().__iter__()
        if self.num_workers:
            _iterators.add(iterator)
        return iterator


def begin_worker(worker: int) -> None:
    """Limit a worker to one thread, as the workers share the cores, and leave signals to the main process.

    Terminals and schedulers send signals to every process of a job. If a signal ended a worker, the training could not
    write its last checkpoint. A worker ends by itself after the main process.
    """
    torch.set_num_threads(1)
    for name in _IGNORED_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


@contextlib.contextmanager
def explained_worker_death() -> Iterator[None]:
    """Report the death of a worker by its number, its signal and its clip, and end the other workers.

    torch reports the death at any moment, also between two batches, so the whole loop over a loader is the body.

    Raises:
        RunError: a worker died.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        dead = [(iterator, n) for iterator in list(_iterators) for n, w in enumerate(iterator._workers) if w.exitcode]
        if not dead:
            raise RunError(f"{error}; run the command again") from error
        iterator, number = dead[0]
        message = _describe_death(iterator, number)
        _iterators.discard(iterator)
        iterator._shutdown_workers()
        for process in iterator._workers:
            process.kill()  # those that did not answer
        raise RunError(message) from error


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


@atexit.register
def _kill_workers() -> None:
    """Kill the workers that an error left: Python would wait for them without end, as they ignore its SIGTERM."""
    iterators = list(_iterators)
    if iterators and hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would report each of these deaths as an error
    for iterator in iterators:
        for process in iterator._workers:
            process.kill()
