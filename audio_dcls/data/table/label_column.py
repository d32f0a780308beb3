"""The labels of many clips, parsed from text cells into two arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from audio_dcls.data.table.clip_table import take_lists
from audio_dcls.errors import LabelError, ManifestError
from audio_dcls.labels import SEPARATOR, LabelSet


@dataclass
class LabelColumn:
    """Parses label cells, each distinct cell of a piece once; messages name `source`, the file."""

    source: Path
    labels: LabelSet
    separator: str = SEPARATOR
    _index_of: dict[str, int] = field(default_factory=dict, init=False)

    def parse(self, numbers: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parse the label cells ((n,) strings) of some rows, which messages name by their `numbers` (n,) in the file.

        Return the position after the last label of each row (n,) int64, and the labels of all rows, int32. Raise a
        ManifestError if a cell has no label, or an unknown one.
        """
        codes, distinct = pd.factorize(cells)
        parsed: list[list[int]] = []
        for code, cell in enumerate(distinct):
            try:
                parsed.append(self._parse(cell))
            except LabelError as error:
                row = numbers[int(np.argmax(codes == code))]
                where = f"'{self.source}', row {row}: column 'labels' (={cell!r})"
                raise ManifestError(f"{where}: {error}") from error
        counts = np.array([len(indices) for indices in parsed], dtype=np.int64)
        flat = np.array([index for indices in parsed for index in indices], dtype=np.int32)
        return take_lists(np.cumsum(counts), flat, codes)

    def _parse(self, cell: str) -> list[int]:
        """The indices of the labels of a cell, each once, in the order written."""
        keys = [key for key in cell.split(self.separator) if key.strip()]
        if not keys:
            raise LabelError(f"a clip needs a label; write one or more, separated by '{self.separator}'")
        for key in keys:
            if key not in self._index_of:
                self._index_of[key] = self._lookup(key)
        return list(dict.fromkeys(self._index_of[key] for key in keys))

    def _lookup(self, key: str) -> int:
        try:
            return self.labels.index(key)
        except LabelError as error:
            if self.separator != "," and "," in key and all(self._is_known(part) for part in key.split(",")):
                raise LabelError(
                    f"labels are separated by '{self.separator}', not by a comma; write "
                    f"{self.separator.join(part.strip() for part in key.split(','))!r}"
                ) from error
            raise

    def _is_known(self, key: str) -> bool:
        try:
            self.labels.index(key)
        except LabelError:
            return False
        return True
