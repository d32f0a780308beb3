"""Fetch remote shards before they are needed, by one thread per loader process.

N clips.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from pathlib import Path
from typing import Any

import numpy as np

from audio_dcls.data.loading.shard_order import ShardOrder
from audio_dcls.data.stores.mirror import Mirror, mirrors_of
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ManifestError

_SHARDS_AHEAD = 3
"""Shards that are fetched before the first of their clips is read; they need room in the cache meanwhile."""


class FetchAhead:
    """Called before a clip is read, fetches the next shards.

    All processes of a machine may request the same shard: it is fetched once, and the other threads wait. This changes
    only the time that reading takes: a shard that was not fetched ahead is fetched when it is read.

    Args:
        order: the order of the clips.
        seed: the run's seed.
        shards: the mirror of each shard of the order, and the shard's path in it; None for a local shard.
    """

    def __init__(self, order: ShardOrder, seed: int, shards: list[tuple[Mirror, str] | None]) -> None:
        self.order, self.seed, self.shards = order, seed, shards
        self._reset()

    def __call__(self, epoch: int, index: int) -> None:
        """Fetch ahead of clip `index` of an epoch, which this process is about to read."""
        if epoch != self._epoch:
            self._begin(epoch)
        place = self._places[index]
        first = int(np.searchsorted(self._first_places, place, side="right"))
        for shard in self._upcoming[first : first + _SHARDS_AHEAD].tolist():
            if shard not in self._requested:
                self._requested.add(shard)
                self._put(shard)

    def _begin(self, epoch: int) -> None:
        """Compute when each shard of an epoch is first needed."""
        permutation = self.order.permutation(self.seed, epoch)
        self._places = np.empty(len(permutation), dtype=np.int32)
        self._places[permutation] = np.arange(len(permutation), dtype=np.int32)
        self._upcoming, places = _first_appearances(self.order.shards[permutation])
        self._first_places = places
        self._requested = {shard for shard, place in enumerate(self.shards) if place is None}
        self._epoch = epoch

    def _put(self, shard: int) -> None:
        if self._thread is None:
            # A daemon: a loader process does not wait for a download when it ends.
            self._thread = threading.Thread(target=self._work, name="fetch-ahead", daemon=True)
            self._thread.start()
        self._queue.put(shard)

    def _work(self) -> None:
        while True:
            place = self.shards[self._queue.get()]
            # Reading the shard raises the same error, with a message.
            with contextlib.suppress(ManifestError, OSError):
                if place is not None:
                    place[0].fetch(place[1])

    def _reset(self) -> None:
        self._epoch = -1
        self._places = self._first_places = self._upcoming = np.zeros(0, dtype=np.int32)
        self._requested: set[int] = set()
        self._queue: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"order": self.order, "seed": self.seed, "shards": self.shards}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)


def build_fetch_ahead(order: ShardOrder | None, clips: ClipTable, seed: int) -> FetchAhead | None:
    """The fetcher of a run's clips; None if they are not read by shards, or are all on this machine.

    Args:
        order: the order of the clips, made from `shards_of(clips)`.
        clips: the training clips.
        seed: the run's seed.
    """
    if order is None or clips.rows is None:
        return None
    mirrors = mirrors_of(clips.paths, clips.folder)
    if not mirrors:
        return None
    shards: list[tuple[Mirror, str] | None] = []
    for path in dict.fromkeys(clips.paths):  # in the order in which `shards_of` numbers them
        shards.append(_in_mirror(clips.folder / path, mirrors))
    return FetchAhead(order, seed, shards)


def _in_mirror(path: Path, mirrors: list[Mirror]) -> tuple[Mirror, str] | None:
    for mirror in mirrors:
        if path.is_relative_to(mirror.folder):
            return mirror, path.relative_to(mirror.folder).as_posix()
    return None


def _first_appearances(shards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shards in the order of their first clip, and the places of those clips.

    >>> _first_appearances(np.array([2, 2, 0, 2, 1]))
    (array([2, 0, 1]), array([0, 2, 4]))
    """
    names, places = np.unique(shards, return_index=True)
    by_place = np.argsort(places)
    return names[by_place], places[by_place]
