"""A function applied by threads: the order, the errors, and items that are taken when they are needed."""

from __future__ import annotations

import itertools

import pytest

from audio_dcls.data.parallel import map_in_batches
from audio_dcls.errors import ManifestError


@pytest.mark.parametrize("num_threads", [0, 1, 5])
def test_map_keeps_order_and_raises(num_threads):
    items = range(1000)
    batches = map_in_batches(lambda item: item + 1, items, num_threads)
    assert list(itertools.chain.from_iterable(batches)) == list(range(1, 1001))

    def fail(item: int) -> int:
        if item == 500:
            raise ManifestError("row 500")
        return item

    with pytest.raises(ManifestError, match="row 500"):
        list(map_in_batches(fail, items, num_threads))


def test_map_takes_items_as_it_goes():
    taken: list[int] = []
    results = map_in_batches(lambda item: item, (taken.append(i) or i for i in range(10_000)), 2)
    next(results)
    assert len(taken) < 1000
    results.close()
