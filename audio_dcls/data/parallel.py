"""Apply a function to many items by threads, in order, with a bound on the unread results.

`Executor.map` takes all items at once before Python 3.14, and the generators of joblib put no bound on the results that
nobody has read yet.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from audio_dcls.errors import ArgumentError

Item = TypeVar("Item")
Result = TypeVar("Result")

_BATCH_ITEMS = 16
_BATCHES_AHEAD = 4
"""Batches per thread that are submitted before the first result is read: they keep the threads busy."""


def map_in_batches(
    function: Callable[[Item], Result], items: Iterable[Item], num_threads: int, *, batch_items: int = _BATCH_ITEMS
) -> Generator[list[Result], None, None]:
    """Yield results in the order of the items, some at a time; items are taken when they are needed.

    Threads help for functions that release Python's lock, as decoding, resampling and reading files do. Without threads
    (0), the calling thread does the work. Errors of the function are raised here. A thread takes, and this yields,
    `batch_items` at a time. Raise an ArgumentError if `num_threads` is negative.

    >>> [sum(batch) for batch in map_in_batches(lambda x: 10 * x, range(20), num_threads=2)]
    [1200, 700]
    """
    if num_threads < 0:
        raise ArgumentError(f"`num_threads` (={num_threads}) must be at least 0; 0 works in the calling thread")
    return _map(function, iter(items), num_threads, batch_items)


def _map(
    function: Callable[[Item], Result], items: Iterator[Item], num_threads: int, batch_items: int
) -> Generator[list[Result], None, None]:
    def work(batch: list[Item]) -> list[Result]:
        return [function(item) for item in batch]

    batches = iter(lambda: list(itertools.islice(items, batch_items)), [])
    if num_threads == 0:
        yield from map(work, batches)
        return
    pending: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for batch in batches:
                pending.append(pool.submit(work, batch))
                if len(pending) >= _BATCHES_AHEAD * num_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
