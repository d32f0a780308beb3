"""Counted randomness: what is drawn depends on counters, never on who draws it or when."""

from __future__ import annotations

import hashlib
import operator

import numpy as np


def counted_rng(seed: int, *counters: int, stream: str) -> np.random.Generator:
    """Generator that depends on nothing but its name.

    The 128-bit key of the Philox counter-based generator (Salmon et al., 2011, "Parallel random numbers: as easy as
    1, 2, 3") is the BLAKE2b digest of the name, so no two names share a stream: hashing also tells (1,) from (1, 0),
    which numpy's own seed sequences do not.
    The counters are integers such as epoch and clip index, or step. `stream` is what is drawn, such as `waveform`.

    >>> a = counted_rng(0, 3, 17, stream="waveform").random()
    >>> a == counted_rng(0, 3, 17, stream="waveform").random(), a == counted_rng(0, 3, 18, stream="waveform").random()
    (True, False)
    """
    numbers = [str(operator.index(number)) for number in (seed, *counters)]
    name = ",".join([*numbers, stream]).encode("utf-8")
    key = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))
