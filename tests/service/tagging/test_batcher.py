"""Windows of several requests are computed together, in turn, and each request gets its own scores."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from audio_dcls.service.tagging.batcher import Batcher


class Counting:
    """A backend whose scores are the windows' first samples; it records its batches."""

    name = "counting"

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.seconds = 0.0

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, None]:
        self.batches.append([float(window[0]) for window in windows])
        time.sleep(self.seconds)
        if np.isnan(windows).any():
            raise RuntimeError("no such kernel")
        return windows[:, :1], None


def windows(*values: float) -> list[tuple[int, np.ndarray]]:
    return [(index, np.full(3, value, dtype=np.float32)) for index, value in enumerate(values)]


async def scored(batcher: Batcher, *values: float) -> list[float]:
    found: list[float] = []
    await batcher.score(windows(*values), lambda _start, scores: found.append(float(scores[0])))
    return found


def build(executor: ThreadPoolExecutor, size: int = 4, gather_s: float = 0.05) -> tuple[Batcher, Counting]:
    backend = Counting()
    return Batcher(backend, executor, batch_windows=size, gather_s=gather_s), backend


def test_requests_share_batches_and_keep_their_order() -> None:
    async def run() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher, backend = build(executor)
            found = await asyncio.gather(
                scored(batcher, 1, 2, 3, 4, 5, 6), scored(batcher, 10), scored(batcher, 20, 21)
            )
            assert found == [[1, 2, 3, 4, 5, 6], [10], [20, 21]]
            assert max(map(len, backend.batches)) <= 4
            # A long sound does not delay short sounds: requests take turns, one window each.
            assert backend.batches[0] == [1, 10, 20, 2]
            assert batcher.num_waiting == 0

    asyncio.run(run())


def test_nothing_is_computed_for_nothing() -> None:
    async def run() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher, backend = build(executor)
            assert await scored(batcher) == []
            assert backend.batches == []

    asyncio.run(run())


def test_who_leaves_leaves_the_queue() -> None:
    async def run() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher, backend = build(executor, size=1, gather_s=0.0)
            backend.seconds = 0.01
            leaving = asyncio.create_task(scored(batcher, *range(100, 200)))
            staying = asyncio.create_task(scored(batcher, 1, 2, 3))
            await asyncio.sleep(0.02)
            leaving.cancel()
            assert await staying == [1, 2, 3]
            with pytest.raises(asyncio.CancelledError):
                await leaving
            await batcher.drain()
            assert sum(map(len, backend.batches)) < 103

    asyncio.run(run())


def test_a_failing_batch_fails_its_requests_and_no_others() -> None:
    async def run() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher, _ = build(executor, size=1, gather_s=0.0)
            bad, good = await asyncio.gather(
                scored(batcher, 1, float("nan"), 3), scored(batcher, 4, 5), return_exceptions=True
            )
            assert isinstance(bad, RuntimeError)
            assert good == [4, 5]
            assert await scored(batcher, 6) == [6]

    asyncio.run(run())


def test_an_idle_batcher_has_no_task() -> None:
    async def run() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher, _ = build(executor)
            await scored(batcher, 1)
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())
