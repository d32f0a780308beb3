"""Suggestions for names that do not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near_names(name: str, known: Iterable[str], *, limit: int = 1, min_similarity: float = 0.5) -> list[str]:
    """The known names that are most similar to a name, best first.

    Args:
        name: the name that does not exist.
        known: the names that exist.
        limit: how many to return at most, at least 1.
        min_similarity: ratio of matching characters below which a name is not suggested, from 0 to 1
            (`difflib.SequenceMatcher.ratio`).

    >>> near_names("convnext_tinny", ["convnext_tiny", "fastvit_t8"])
    ['convnext_tiny']
    """
    return difflib.get_close_matches(name, list(known), n=limit, cutoff=min_similarity)


def did_you_mean(name: str, known: Iterable[str], otherwise: str, *, min_similarity: float = 0.5) -> str:
    """The last part of an error message about an unknown name.

    Args:
        name: the name that does not exist.
        known: the names that exist.
        otherwise: what the message says where no known name is similar.
        min_similarity: as in `near_names`.

    >>> did_you_mean("lop.epochs", ["loop.epochs", "loop.steps"], "see the list of keys")
    "did you mean 'loop.epochs'?"
    >>> did_you_mean("xyz", ["loop.epochs"], "see the list of keys")
    'see the list of keys'
    """
    near = near_names(name, known, min_similarity=min_similarity)
    return f"did you mean '{near[0]}'?" if near else otherwise
