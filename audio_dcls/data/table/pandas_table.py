"""Records as a pandas table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame


def records_frame(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> DataFrame:
    """A table with one row per record and these columns in this order, even if there are no records.

    >>> list(records_frame([], ["path", "score"]).columns)
    ['path', 'score']
    """
    from pandas import DataFrame  # takes half a second, and tagging starts without it

    return DataFrame.from_records([dict(record) for record in records], columns=list(columns))
