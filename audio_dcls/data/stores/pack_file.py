"""`pack.json`: what a pack is, what is in it, and whether it is finished."""

from __future__ import annotations

import hashlib
import json

from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.store import Store
from audio_dcls.errors import ManifestError
from audio_dcls.settings import Settings

PACK_FILE = "pack.json"
INDEX_FILE = "index.arrow"
LABELS_FILE = "labels.csv"
LEFT_OUT_FILE = "left_out.csv"
CARD_FILE = "README.md"
FORMAT = 1
"""Raised when a pack is no longer what older versions of this package read."""


class PackPlan(Settings):
    """All that decides a pack's bytes."""

    codec: Codec
    sample_rate_hz: int
    rows_per_shard: int
    num_clips: int
    """Rows of the manifest."""
    manifest_sha256: str
    labels_sha256: str
    versions: dict[str, str]
    """Of the libraries that write the bytes."""

    def digest(self) -> str:
        """SHA-256 of the plan, by which a shard is known as its own."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    def differences(self, other: PackPlan) -> list[str]:
        """What is not the same in another plan, as text; nothing for an equal one."""
        return [
            f"{name} {getattr(self, name)}, asked for {getattr(other, name)}"
            for name in PackPlan.model_fields
            if getattr(self, name) != getattr(other, name)
        ]


class ShardInfo(Settings):
    """One shard, as written."""

    name: str
    """Inside the pack, such as `data/train-00003-of-00012.parquet`."""
    split: str
    num_rows: int
    num_left_out: int
    """Clips that could not be read."""
    num_bytes: int
    sha256: str
    """Of the whole file."""


class PackInfo(Settings):
    """The content of `pack.json`."""

    format: int = FORMAT
    plan: PackPlan
    is_complete: bool = False
    """Whether every shard is there: the file is written once at the start and once at the end."""
    shards: tuple[ShardInfo, ...] = ()
    """In the order of the index; none before the pack is complete."""
    index_sha256: str = ""
    """Of `index.arrow`."""

    @property
    def num_rows(self) -> int:
        """Clips in the pack."""
        return sum(shard.num_rows for shard in self.shards)

    @property
    def num_left_out(self) -> int:
        """Clips of the manifest that could not be read."""
        return sum(shard.num_left_out for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Size of all shards."""
        return sum(shard.num_bytes for shard in self.shards)

    def splits(self) -> dict[str, int]:
        """Clips of each split, in order of first appearance."""
        counts: dict[str, int] = {}
        for shard in self.shards:
            counts[shard.split] = counts.get(shard.split, 0) + shard.num_rows
        return counts

    def to_bytes(self) -> bytes:
        """The file's content."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def load_pack_info(store: Store) -> PackInfo:
    """Read a finished pack's `pack.json`.

    Raises:
        ManifestError: there is none, it is damaged or of a newer version, or the pack is not finished.
    """
    info = parse_pack_info(store.read(PACK_FILE), f"{store.address}/{PACK_FILE}")
    if not info.is_complete:
        raise ManifestError(
            f"the pack '{store.address}' is not finished; run the `audio-dcls pack` that began it again, and it goes on"
        )
    return info


def parse_pack_info(content: bytes, source: str) -> PackInfo:
    """The content of a `pack.json`, checked.

    Raises:
        ManifestError: it is damaged, or of a newer version.
    """
    try:
        document = json.loads(content)
        # First, as a newer version may have keys that this one does not know.
        found_format = document["format"]
        if found_format != FORMAT:
            raise ManifestError(
                f"'{source}' is of format {found_format}, and this version of audio-dcls reads {FORMAT}; upgrade "
                "audio-dcls, or pack again"
            )
        return PackInfo.model_validate(document)
    except (ValueError, KeyError, TypeError) as error:
        detail = " ".join(str(error).split())
        raise ManifestError(
            f"'{source}' is not what a pack is described by ({detail}); fetch it again, or pack again"
        ) from error
