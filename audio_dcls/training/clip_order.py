"""The order of the clips in an epoch."""

from __future__ import annotations

from audio_dcls.data.config import DataConfig
from audio_dcls.data.loading.shard_order import ShardOrder, shards_of
from audio_dcls.data.stores.mirror import GB, mirrors_of
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ConfigError


def build_order(config: DataConfig, clips: ClipTable) -> ShardOrder | None:
    """The order that a config names; None means a uniform shuffle.

    Args:
        config: `order` and `shuffle_buffer`.
        clips: the training clips.

    Raises:
        ConfigError: a uniform shuffle is configured for a remote pack that is larger than its cache.
    """
    if config.order == "shards":
        return ShardOrder(shards_of(clips), config.shuffle_buffer)
    if clips.rows is None:
        return None
    for mirror in mirrors_of(clips.paths, clips.folder):
        size_gb = sum(mirror.sizes.values()) / GB
        if size_gb > mirror.limit_gb:
            raise ConfigError(
                f"`data.order` (='random') would fetch a shard of '{mirror.address}' for almost every clip: the pack "
                f"has {size_gb:.3g} GB, `data.shard_cache_gb` is {mirror.limit_gb:g}; set data.order=shards, or raise "
                "the cache size"
            )
    return None
