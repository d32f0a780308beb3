"""Suggestions for names that do not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near_names(name: str, known: Iterable[str], *, limit: int = 1, min_similarity: float = 0.5) -> list[str]:
    """At most `limit` known names that are most similar to a name, best first.

    A name is not suggested if its ratio of matching characters (`difflib.SequenceMatcher.ratio`) is too low.

    >>> near_names("convnext_tinny", ["convnext_tiny", "fastvit_t8"])
    ['convnext_tiny']
    """
    return difflib.get_close_matches(name, list(known), n=limit, cutoff=min_similarity)


def did_you_mean(name: str, known: Iterable[str], otherwise: str, *, min_similarity: float = 0.5) -> str:
    """The last part of an error message about an unknown name; `otherwise` is used if no known name is similar.

    >>> did_you_mean("lop.epochs", ["loop.epochs", "loop.steps"], "see the list of keys")
    "did you mean 'loop.epochs'?"
    >>> did_you_mean("xyz", ["loop.epochs"], "see the list of keys")
    'see the list of keys'
    """
    near = near_names(name, known, min_similarity=min_similarity)
    return f"did you mean '{near[0]}'?" if near else otherwise
