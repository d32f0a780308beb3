"""A hash that names a set of clips: two scores with the same hash were measured on the same clips."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

_HASH_DIGITS = 16
"""64 bits: the chance that two of a million different sets have the same hash is 3e-8."""


def id_hash(clip_ids: Iterable[str]) -> str:
    """The hash of a set of clips, which does not depend on their order.

    It is the first 16 hexadecimal digits of the SHA-256 of the sorted ids, one per line, in UTF-8. A shell computes it
    by `LC_ALL=C sort ids.txt | head -c -1 | sha256sum`.

    >>> id_hash(["b", "a"]) == id_hash(["a", "b"])
    True
    """
    text = "\n".join(sorted(clip_ids))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_DIGITS]
