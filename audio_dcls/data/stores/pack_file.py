"""`pack.json`: how a pack was made, what it contains, and whether it is complete."""

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
"""Version of the format; it increases when older versions of this package can no longer read new packs."""


class PackPlan(Settings):
    """Everything that determines the bytes of a pack."""

    codec: Codec
    sample_rate_hz: int
    rows_per_shard: int
    num_clips: int
    """Number of rows of the manifest."""
    manifest_sha256: str
    labels_sha256: str
    versions: dict[str, str]
    """Versions of the libraries that write the bytes."""

    def digest(self) -> str:
        """The SHA-256 of the plan, by which a shard is recognised as part of the pack."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    def differences(self, other: PackPlan) -> list[str]:
        """The differences to another plan, as text; empty if the plans are equal."""
        return [
            f"{name} {getattr(self, name)}, requested {getattr(other, name)}"
            for name in PackPlan.model_fields
            if getattr(self, name) != getattr(other, name)
        ]


class ShardInfo(Settings):
    """One written shard."""

    name: str
    """Inside the pack, such as `data/train-00003-of-00012.parquet`."""
    split: str
    num_rows: int
    num_left_out: int
    """Number of clips that could not be read."""
    num_bytes: int
    sha256: str
    """SHA-256 of the whole file."""


class PackInfo(Settings):
    """The content of `pack.json`."""

    format: int = FORMAT
    plan: PackPlan
    is_complete: bool = False
    """True if all shards are written: this file is written once at the start and once at the end."""
    shards: tuple[ShardInfo, ...] = ()
    """In the order of the index; empty before the pack is complete."""
    index_sha256: str = ""
    """SHA-256 of `index.arrow`."""

    @property
    def num_rows(self) -> int:
        """Number of clips in the pack."""
        return sum(shard.num_rows for shard in self.shards)

    @property
    def num_left_out(self) -> int:
        """Number of clips of the manifest that could not be read."""
        return sum(shard.num_left_out for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Size of all shards in bytes."""
        return sum(shard.num_bytes for shard in self.shards)

    def splits(self) -> dict[str, int]:
        """The number of clips per split, in order of first appearance."""
        counts: dict[str, int] = {}
        for shard in self.shards:
            counts[shard.split] = counts.get(shard.split, 0) + shard.num_rows
        return counts

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def load_pack_info(store: Store) -> PackInfo:
    """Read the `pack.json` of a complete pack.

    Raise a ManifestError if the file is missing, damaged or of a newer version, or the pack is not finished.
    """
    info = parse_pack_info(store.read(PACK_FILE), f"{store.address}/{PACK_FILE}")
    if not info.is_complete:
        problem = f"the pack '{store.address}' is not finished"
        raise ManifestError(f"{problem}; run the same `audio-dcls pack` command again to finish it")
    return info


def parse_pack_info(content: bytes, source: str) -> PackInfo:
    """Parse the content of a `pack.json`; raise a ManifestError if it is damaged or of a newer version."""
    try:
        document = json.loads(content)
        # Checked first, because a newer version may have keys that this version does not know.
        found_format = document["format"]
        if found_format != FORMAT:
            problem = f"'{source}' is of format {found_format}, and this version of audio-dcls reads {FORMAT}"
            raise ManifestError(f"{problem}; upgrade audio-dcls, or pack again")
        return PackInfo.model_validate(document)
    except (ValueError, KeyError, TypeError) as error:
        detail = " ".join(str(error).split())
        message = f"'{source}' is not a valid description of a pack ({detail}); fetch it again, or pack again"
        raise ManifestError(message) from error
