"""If one process of a training fails, all processes stop, and each reports which one failed and why."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch.distributed as distributed
from torch.distributed import distributed_c10d

from audio_dcls.errors import RunError

FAILURE_KEY = "audio_dcls/failure"
FAILED_EXIT_CODE = 2
POLL_S = 0.25
GRACE_S = 1.0
"""Seconds in which a process may notice by itself that another has failed."""
JOIN_S = 5.0
LINGER_S = 4.0
"""Seconds that a failed process stays alive, so that the others learn of the failure before the launcher ends them."""


@contextlib.contextmanager
def failing_together(fabric: Any, on_failure: Callable[[str], None]) -> Iterator[None]:
    """Report a failure of the body in one process to all others; with a single process, do nothing.

    Otherwise the other processes would wait until a time-out, or end with an error about a broken connection that does
    not give the cause. A process that waits inside a collective cannot raise: `on_failure` is called in another thread,
    with a message that says which other process failed and why, and the process ends with exit code 2. Raises
    `RunError` if another process failed, and this one noticed.
    """
    if fabric.world_size == 1:
        yield
        return
    store: Any = distributed_c10d._get_default_store()
    finished = threading.Event()
    arguments = (store.clone(), fabric.global_rank, fabric.world_size, finished, on_failure)
    watcher = threading.Thread(target=_watch_others, args=arguments, daemon=True)
    watcher.start()
    try:
        yield
    except BaseException as error:
        failure = _read(store) or (_wait_for(store) if _is_broken_connection(error) else None)
        if failure is None and _is_broken_connection(error):
            raise RunError(
                "the connection to another process of the training broke; it was killed, perhaps because memory ran "
                "out: read its own output, and continue with --resume"
            ) from error
        if failure is not None and failure["rank"] != fabric.global_rank:
            raise RunError(_describe(failure, fabric.world_size)) from error
        store.set(FAILURE_KEY, json.dumps({"rank": fabric.global_rank, "cause": str(error) or type(error).__name__}))
        time.sleep(LINGER_S)
        raise
    finally:
        finished.set()
        watcher.join(JOIN_S)  # a thread inside the store would abort the process when Python exits


def _is_broken_connection(error: BaseException) -> bool:
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _read(store: Any) -> dict[str, Any] | None:
    return json.loads(store.get(FAILURE_KEY)) if store.check([FAILURE_KEY]) else None


def _wait_for(store: Any) -> dict[str, Any] | None:
    deadline_s = time.monotonic() + GRACE_S
    while time.monotonic() < deadline_s:
        failure = _read(store)
        if failure is not None:
            return failure
        time.sleep(POLL_S)
    return None


def _describe(failure: dict[str, Any], num_processes: int) -> str:
    return (
        f"process {failure['rank']} (of {num_processes}, counted from 0) failed, so every process stops; it said: "
        f"{failure['cause']}"
    )


def _watch_others(
    store: Any, rank: int, num_processes: int, finished: threading.Event, on_failure: Callable[[str], None]
) -> None:
    """Wait for a failure of another process; end this one if it does not notice the failure by itself."""
    while not finished.wait(POLL_S):
        try:
            failure = _read(store)
        except distributed.DistError:
            return  # the store's process has ended: the collectives fail too
        if failure is None or failure["rank"] == rank:
            continue
        if not finished.wait(GRACE_S):
            on_failure(_describe(failure, num_processes))
            os._exit(FAILED_EXIT_CODE)
