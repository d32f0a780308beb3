"""An order of the clips that reads few shards at a time: shards are shuffled, then clips within a buffer.

N clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class ShardOrder:
    """Order of N clips by the shards that hold them.

    Like the uniform shuffle, it depends on (seed, epoch) alone, so steps, ranks, workers and resuming work alike.

    Args:
        shards: (N,) integers, the shard of each clip.
        buffer_clips: number of clips that are mixed with each other, at least 1; 1 keeps the clips of a shard together.

    Raises:
        ArgumentError: the buffer is below 1.

    >>> order = ShardOrder(np.array([0, 0, 1, 1, 2, 2]), buffer_clips=1).permutation(seed=0, epoch=0)
    >>> sorted(order.tolist()), [len({index // 2 for index in pair}) for pair in order.reshape(3, 2).tolist()]
    ([0, 1, 2, 3, 4, 5], [1, 1, 1])
    """

    shards: np.ndarray
    buffer_clips: int

    def __post_init__(self) -> None:
        if self.buffer_clips < 1:
            raise ArgumentError(
                f"`buffer_clips` (={self.buffer_clips}) must be at least 1; the clips of a few shards are usual"
            )

    def permutation(self, seed: int, epoch: int) -> np.ndarray:
        """The clips of one epoch, each once.

        Shards follow each other in random order, and so do the clips of each shard. Then clip i of this sequence gets
        the key i + U(0, buffer), and keys are sorted: no clip moves by `buffer_clips` places or more, so at any time
        the shards in use are those of `buffer_clips` clips, and one or two more.

        Args:
            seed: the run's seed.
            epoch: counted from 0.

        Shape: (N,) int64.
        """
        rng = counted_rng(seed, epoch, stream="shard order")
        num_clips = len(self.shards)
        ranks = rng.permutation(int(self.shards.max()) + 1 if num_clips else 0)
        walk = np.lexsort((rng.permutation(num_clips), ranks[self.shards]))
        keys = np.arange(num_clips) + rng.uniform(0, self.buffer_clips, num_clips)
        return walk[np.argsort(keys, kind="stable")] if self.buffer_clips > 1 else walk


def shards_of(table: ClipTable) -> np.ndarray:
    """The shard of each clip, (N,) int32: the clips of one file form a shard.

    >>> from audio_dcls.data.table.clip import Clip
    >>> clips = [Clip(str(row), f"{row % 2}.parquet", None, None, (0,), "train", row=row) for row in range(3)]
    >>> shards_of(ClipTable.from_clips(clips)).tolist()
    [0, 1, 0]
    """
    codes, _ = pd.factorize(np.array(table.paths.to_list(), dtype=object))
    return codes.astype(np.int32)
