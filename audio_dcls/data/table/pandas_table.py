"""Records as a table of pandas, for those who ask for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def records_frame(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A table with a row a record; `columns` stand in their order, also where there is no record.

    >>> list(records_frame([], ["path", "score"]).columns)
    ['path', 'score']
    """
    return pd.DataFrame.from_records([dict(record) for record in records], columns=list(columns))
