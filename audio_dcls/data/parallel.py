"""A function over many items, by threads, in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from audio_dcls.errors import ArgumentError

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH_ITEMS = 16
BATCHES_AHEAD = 4
"""Batches handed to each thread before the first result is taken: enough to keep it busy, few enough to hold."""


def map_in_batches(
    function: Callable[[Item], Result], items: Iterable[Item], num_threads: int
) -> Generator[list[Result], None, None]:
    """Results in the order of the items, a few at a time; items are taken as they are needed.

    Threads serve functions that release Python's lock, as decoding, resampling and reading files do.

    Args:
        function: called once per item; what it raises is raised here.
        items: any number of them.
        num_threads: threads; 0 calls the function in this one.

    Raises:
        ArgumentError: `num_threads` is negative.

    >>> [sum(batch) for batch in map_in_batches(lambda x: 10 * x, range(20), num_threads=2)]
    [1200, 700]
    """
    if num_threads < 0:
        raise ArgumentError(f"`num_threads` (={num_threads}) must be at least 0; 0 works in the calling thread")
    return _map(function, iter(items), num_threads)


def _map(
    function: Callable[[Item], Result], items: Iterator[Item], num_threads: int
) -> Generator[list[Result], None, None]:
    def work(batch: list[Item]) -> list[Result]:
        return [function(item) for item in batch]

    batches = iter(lambda: list(itertools.islice(items, BATCH_ITEMS)), [])
    if num_threads == 0:
        yield from map(work, batches)
        return
    pending: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for batch in batches:
                pending.append(pool.submit(work, batch))
                if len(pending) >= BATCHES_AHEAD * num_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
