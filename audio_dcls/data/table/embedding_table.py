"""A Parquet file of embeddings, written a few sounds at a time.

The file has one row per sound. Columns: `path`; `embedding`, a list of F features; `start_s` and `end_s`, the times of
its W windows; and `window_embeddings`, a list of W lists of F features.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_PER_GROUP = 256


class EmbeddingTable:
    """Writes the file, for embeddings of `num_features`. Only after `close` can it be read."""

    def __init__(self, path: Path, num_features: int) -> None:
        feature_list = pa.list_(pa.float32(), num_features)
        self.schema = pa.schema(
            {
                "path": pa.string(),
                "embedding": feature_list,
                "start_s": pa.list_(pa.float64()),
                "end_s": pa.list_(pa.float64()),
                "window_embeddings": pa.list_(feature_list),
            }
        )
        self.writer = pq.ParquetWriter(path, self.schema)
        self.rows: dict[str, list[object]] = {name: [] for name in self.schema.names}

    def add(
        self, path: str, embedding: np.ndarray, start_s: np.ndarray, end_s: np.ndarray, window_embeddings: np.ndarray
    ) -> None:
        """Append a sound: its name, embedding (F,), window times (W,) in seconds, and window embeddings (W, F)."""
        path = path.encode(errors="backslashreplace").decode()  # Parquet has no bytes that are not UTF-8
        for name, value in zip(self.rows, (path, embedding, start_s, end_s, list(window_embeddings)), strict=True):
            self.rows[name].append(value)
        if len(self.rows["path"]) == _ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the remaining rows and the end of the file."""
        self._flush()
        self.writer.close()

    def _flush(self) -> None:
        if self.rows["path"]:
            self.writer.write_table(pa.table(self.rows, schema=self.schema))
            self.rows = {name: [] for name in self.rows}
