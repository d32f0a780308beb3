"""Windows of many requests through one model together.

Not LitServe: it batches whole requests of a fixed kind, has no WebSockets, no bound on its queue and one set of models
for its lifetime. Not Ray Serve: a cluster is more than "one process, nothing else to install". What is needed of
either is this file.

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

from audio_dcls.inference.backends import Backend

Take = Callable[[int, np.ndarray], None]
"""Takes a window's first sample and its scores (C,)."""
SMOOTHING = 0.2
"""Weight of the newest batch in the time a window is said to take."""


@dataclass(eq=False)
class _Job:
    """A request's windows, taken one at a time, so that a long sound does not hold up short ones."""

    windows: Iterator[tuple[int, np.ndarray]]
    take: Take
    done: asyncio.Future[None]
    next: tuple[int, np.ndarray] | None = None
    num_computing: int = 0

    def advance(self) -> None:
        """Cut the next window, or learn that there is none."""
        self.next = next(self.windows, None)


class Batcher:
    """Collects windows for a few milliseconds, computes them at once, in turn over the requests.

    Args:
        backend: computes.
        executor: the one thread in which models compute.
        batch_windows: windows computed at once, at least 1.
        gather_s: how long a batch that is not full waits for more, 0 or more.
        on_batch: told the number of windows and the seconds of every batch.
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
        """Requests with windows that wait."""
        return len(self._waiting)

    async def score(self, windows: Iterable[tuple[int, np.ndarray]], take: Take) -> None:
        """Compute a request's windows; who stops waiting leaves the queue.

        Args:
            windows: first sample and samples (T,) of each, cut when its turn comes.
            take: given the scores of each, in their order.
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
        """Wait until nothing waits."""
        while self._loop is not None:
            await self._loop

    async def _run(self) -> None:
        """Compute until nothing waits; an idle model has no task."""
        try:
            while self._waiting:
                await self._gather()
                await self._compute(self._next_batch())
        finally:
            self._loop = None

    async def _gather(self) -> None:
        """Wait a little for windows of other requests, unless there are enough."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.gather_s
        while len(self._waiting) < self.batch_windows and (left := end - loop.time()) > 0:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._arrived.wait()

    def _next_batch(self) -> list[tuple[_Job, int, np.ndarray]]:
        """One window of each request in turn, until there are enough."""
        batch: list[tuple[_Job, int, np.ndarray]] = []
        while self._waiting and len(batch) < self.batch_windows:
            job = self._waiting.popleft()
            if job.done.done():  # nobody waits for it any more
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
        except (RuntimeError, MemoryError, ValueError) as error:  # what torch and the runtimes raise
            for job in {job for job, _, _ in batch}:
                if not job.done.done():
                    job.done.set_exception(error)
            return
        seconds = loop.time() - began
        per_window_s = seconds / len(batch)
        self.window_s += SMOOTHING * (per_window_s - self.window_s) if self.window_s else per_window_s
        self.on_batch(len(batch), seconds)
        for index, (job, start, _) in enumerate(batch):
            job.take(start, scores[index])
            job.num_computing -= 1
            if job.next is None and not job.num_computing and not job.done.done():
                job.done.set_result(None)


def retry_after_s(num_requests: int, window_s: float) -> int:
    """Seconds after which a request that was turned away may be sent again.

    >>> retry_after_s(100, 0.1), retry_after_s(0, 0.0)
    (10, 1)
    """
    return max(1, math.ceil(num_requests * window_s))
