"""When one process of a training fails, all of them stop, each saying which one failed and why."""

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
"""How long a process may take to notice by itself that another has failed."""
JOIN_S = 5.0
HEARING_S = 4.0
"""How long a failed process stays, so that the others hear of it before their launcher ends them."""


@contextlib.contextmanager
def failing_together(fabric: Any, on_failure: Callable[[str], None]) -> Iterator[None]:
    """Let a failure of the body in one process be known to all; alone, nothing is done.

    Without it the others wait for the failed one until a time-out, or die of a broken connection with a message that
    does not say why. A process that waits inside a collective cannot raise: its `on_failure` is called, from another
    thread, and it ends with exit code 2.

    Args:
        fabric: launched.
        on_failure: told, in words, which process failed and why, where it was another.

    Raises:
        RunError: another process failed, and this one noticed.
    """
    if fabric.world_size == 1:
        yield
        return
    store: Any = distributed_c10d._get_default_store()
    finished = threading.Event()
    arguments = (store.clone(), fabric.global_rank, fabric.world_size, finished, on_failure)
    watch = threading.Thread(target=_end_with_the_failed, args=arguments, daemon=True)
    watch.start()
    try:
        yield
    except BaseException as error:
        failure = _read(store) or (_wait_for(store) if _is_broken_connection(error) else None)
        if failure is None and _is_broken_connection(error):
            raise RunError(
                "the connection to another process of the training broke; it was killed, perhaps for memory: look at "
                "its own output, and go on with --resume"
            ) from error
        if failure is not None and failure["rank"] != fabric.global_rank:
            raise RunError(_in_words(failure, fabric.world_size)) from error
        store.set(FAILURE_KEY, json.dumps({"rank": fabric.global_rank, "cause": str(error) or type(error).__name__}))
        time.sleep(HEARING_S)
        raise
    finally:
        finished.set()
        watch.join(JOIN_S)  # a thread that is inside the store when Python ends would abort the process


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


def _in_words(failure: dict[str, Any], num_processes: int) -> str:
    return (
        f"process {failure['rank']} (of {num_processes}, counted from 0) failed, so every process stops; it said: "
        f"{failure['cause']}"
    )


def _end_with_the_failed(
    store: Any, rank: int, num_processes: int, finished: threading.Event, on_failure: Callable[[str], None]
) -> None:
    """Watch for another process's failure; end this one if it does not notice by itself."""
    while not finished.wait(POLL_S):
        try:
            failure = _read(store)
        except distributed.DistError:
            return  # the store is gone with its process: the collectives fail too
        if failure is None or failure["rank"] == rank:
            continue
        if not finished.wait(GRACE_S):
            on_failure(_in_words(failure, num_processes))
            os._exit(FAILED_EXIT_CODE)
