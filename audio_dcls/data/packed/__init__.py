"""Packs: clips in Parquet shards, in the layout of the Hugging Face `datasets` Audio feature, with an index."""

from audio_dcls.data.packed.codec import Codec
from audio_dcls.data.packed.mirror import shard_cache
from audio_dcls.data.packed.pack_file import PackInfo, ShardInfo
from audio_dcls.data.packed.pack_manifest import read_manifest
from audio_dcls.data.packed.packer import PackResult, pack
from audio_dcls.data.packed.plan import PackSettings
from audio_dcls.data.packed.reader import is_packed, read_row
from audio_dcls.data.packed.verify import PackFault, VerifyResult, verify_pack

__all__ = [
    "Codec",
    "PackFault",
    "PackInfo",
    "PackResult",
    "PackSettings",
    "ShardInfo",
    "VerifyResult",
    "is_packed",
    "pack",
    "read_manifest",
    "read_row",
    "shard_cache",
    "verify_pack",
]
