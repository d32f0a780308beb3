"""Compute windows of many requests together in one model.

LitServe would not do: it batches whole requests of one kind, has no WebSockets and no limit on its queue, and keeps the
same models for its lifetime. Ray Serve would need a cluster, where this service is one process.

Axis legend: W windows, T samples of a window, C classes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from audio_dcls.inference.backends.backend import Backend

Take = Callable[[int, np.ndarray], None]
"""Takes a window's first sample and its scores (C,)."""
_SMOOTHING = 0.2
"""Weight of the newest batch in the moving average of a window's time."""


@dataclass(eq=False)
class _Job:
    """A request's windows. They are taken one at a time, so that a long sound does not delay short sounds."""

    windows: Iterator[tuple[int, np.ndarray]]
    take: Take
    done: asyncio.Future[None]
    next: tuple[int, np.ndarray] | None = None
    num_computing: int = 0

    def advance(self) -> None:
        """Cut the next window, if there is one."""
        self.next = next(self.windows, None)


class Batcher:
    """Collects windows for a few milliseconds and computes them at once; requests take turns.

    Args:
        backend: computes the scores.
        executor: the one thread in which models compute.
        batch_windows: windows per batch at most, at least 1.
        gather_s: time that a batch waits for more windows, 0 or more.
        on_batch: called after each batch with the number of windows and the seconds.
    """

    def __init__(
        self,
        backend: Backend,
        executor: Executor,
        *,
        batch_windows: int,
        gather_s: float,
        on_batch: Callable[[int, float], None] = lambda _windows, _seconds: None,
    ) -> None:
        self.backend, self.executor = backend, executor
        self.batch_windows, self.gather_s, self.on_batch = batch_windows, gather_s, on_batch
        self.window_s = 0.0
        self._waiting: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    @property
    def num_waiting(self) -> int:
        """The number of requests with waiting windows."""
        return len(self._waiting)

    async def score(self, windows: Iterable[tuple[int, np.ndarray]], take: Take) -> None:
        """Compute a request's windows; if the caller is cancelled, the rest is dropped.

        Each window is its first sample and its samples (T,), cut when needed; `take` gets the scores of each in order.
        """
        job = _Job(iter(windows), take, asyncio.get_running_loop().create_future())
        job.advance()
        if job.next is None:
            return
        self._waiting.append(job)
        self._arrived.set()
        if self._loop is None:
            self._loop = asyncio.create_task(self._run(), name="batcher")
        await job.done

    async def drain(self) -> None:
        """Return once no window waits."""
        while self._loop is not None:
            await self._loop

    async def _run(self) -> None:
        """Compute until no window waits; then the task ends."""
        try:
            while self._waiting:
                await self._gather()
                await self._compute(self._next_batch())
        finally:
            self._loop = None

    async def _gather(self) -> None:
        """Wait for windows of other requests, until there are enough or `gather_s` is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.gather_s
        while len(self._waiting) < self.batch_windows and (left := end - loop.time()) > 0:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._arrived.wait()

    def _next_batch(self) -> list[tuple[_Job, int, np.ndarray]]:
        """One window from each request in turn, until the batch is full."""
        batch: list[tuple[_Job, int, np.ndarray]] = []
        while self._waiting and len(batch) < self.batch_windows:
            job = self._waiting.popleft()
            if job.done.done():  # its caller was cancelled
                continue
            assert job.next is not None
            batch.append((job, *job.next))
            job.num_computing += 1
            job.advance()
            if job.next is not None:
                self._waiting.append(job)
        return batch

    async def _compute(self, batch: list[tuple[_Job, int, np.ndarray]]) -> None:
        if not batch:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        windows = np.stack([window for _, _, window in batch])
        try:
            scores, _ = await loop.run_in_executor(self.executor, self.backend.run, windows)
        except (RuntimeError, MemoryError, ValueError) as error:  # the errors of torch and the other runtimes
            for job in {job for job, _, _ in batch}:
                if not job.done.done():
                    job.done.set_exception(error)
            return
        seconds = loop.time() - began
        per_window_s = seconds / len(batch)
        self.window_s += _SMOOTHING * (per_window_s - self.window_s) if self.window_s else per_window_s
        self.on_batch(len(batch), seconds)
        for index, (job, start, _) in enumerate(batch):
            job.take(start, scores[index])
            job.num_computing -= 1
            if job.next is None and not job.num_computing and not job.done.done():
                job.done.set_result(None)


def retry_after_s(num_requests: int, window_s: float) -> int:
    """Seconds after which a refused request may be sent again.

    >>> retry_after_s(100, 0.1), retry_after_s(0, 0.0)
    (10, 1)
    """
    return max(1, math.ceil(num_requests * window_s))
