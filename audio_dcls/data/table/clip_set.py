"""The name of a set of clips: two scores of the same name were measured on the same clips."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

HASH_DIGITS = 16
"""64 bits: two different sets among a million have the same name with a chance of 3e-8."""


def id_hash(clip_ids: Iterable[str]) -> str:
    """Fingerprint of a set of clips: equal for the same ids in any order.

    The first 16 hexadecimal digits of the SHA-256 of the sorted ids, one a line, in UTF-8; sorting and hashing ids in a
    shell gives the same: `LC_ALL=C sort ids.txt | head -c -1 | sha256sum`.

    Args:
        clip_ids: ids of the clips that count.

    >>> id_hash(["b", "a"]) == id_hash(["a", "b"])
    True
    """
    text = "\n".join(sorted(clip_ids))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:HASH_DIGITS]
