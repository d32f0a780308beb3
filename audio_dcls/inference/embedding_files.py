"""Embeddings of sounds as a file: NumPy's .npz, or Parquet.

Axes: N sounds, W windows of one sound, V windows of all sounds, F features.

An .npz holds `paths` (N,), `embeddings` (N, F), `num_windows` (N,), and of all windows, sound after sound,
`window_embeddings` (V, F), `start_s` (V,) and `end_s` (V,). It is collected in memory. A Parquet file has one row per
sound (`audio_dcls.data.table.embedding_table`) and is written row by row.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np

from audio_dcls.errors import ArgumentError

SUFFIXES = (".npz", ".parquet")


class _Writer(Protocol):
    def add(
        self, path: str, embedding: np.ndarray, start_s: np.ndarray, end_s: np.ndarray, window_embeddings: np.ndarray
    ) -> None: ...

    def close(self) -> None: ...


class EmbeddingFile:
    """Writes embeddings; a context manager. The file takes its name at the end, if nothing was raised.

    Args:
        path: file to write; must end in .npz or .parquet, and its folder is made.

    Raises:
        ArgumentError: the name ends in something else, or the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with EmbeddingFile(f"{folder}/a.npz") as file:
    ...         file.add("a.wav", np.ones(3), np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.ones((2, 3)))
    ...     with np.load(f"{folder}/a.npz") as found:
    ...         {name: found[name].shape for name in found.files}
    {'paths': (1,), 'embeddings': (1, 3), 'num_windows': (1,), 'start_s': (2,), 'end_s': (2,),
    'window_embeddings': (2, 3)}
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in SUFFIXES:
            raise ArgumentError(f"'{path}' must end in one of {', '.join(SUFFIXES)}")
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self._writer: _Writer | None = None
        self.num_sounds = 0

    def __enter__(self) -> EmbeddingFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.touch()
        except OSError as error:
            raise ArgumentError(f"'{self.path}' cannot be written: {error.strerror}; choose another place") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            writer = self._open(0) if self._writer is None and kind is None else self._writer
            if writer is not None:
                writer.close()
            if kind is None:
                os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def add(
        self, path: str, embedding: np.ndarray, start_s: np.ndarray, end_s: np.ndarray, window_embeddings: np.ndarray
    ) -> None:
        """Append a sound: its embedding (F,), the times (W,) of its windows in seconds, and their embeddings (W, F).

        An `ArgumentError` says which shapes do not fit each other, or the sounds before.
        """
        embedding = np.asarray(embedding, dtype=np.float32)
        windows = np.asarray(window_embeddings, dtype=np.float32)
        if embedding.ndim != 1 or windows.shape != (len(start_s), len(embedding)) or len(start_s) != len(end_s):
            raise ArgumentError(
                f"`window_embeddings` {windows.shape} of '{path}' must have {len(start_s)} rows, each with as many "
                f"features as `embedding` {embedding.shape}"
            )
        if self._writer is None:
            self._writer = self._open(len(embedding))
            self._num_features = len(embedding)
        if len(embedding) != self._num_features:
            raise ArgumentError(
                f"`embedding` of '{path}' has {len(embedding)} features, but earlier ones have {self._num_features}; "
                "write sounds of one model to one file"
            )
        self._writer.add(path, embedding, np.asarray(start_s), np.asarray(end_s), windows)
        self.num_sounds += 1

    def _open(self, num_features: int) -> _Writer:
        if self.path.suffix.lower() == ".npz":
            return _NpzArrays(self._temporary, num_features)
        from audio_dcls.data.table.embedding_table import EmbeddingTable

        return EmbeddingTable(self._temporary, num_features)


class _NpzArrays:
    def __init__(self, path: Path, num_features: int) -> None:
        self.path = path
        self.paths: list[str] = []
        self.num_windows: list[int] = []
        empty = np.zeros((0, num_features), dtype=np.float32)
        self.embeddings, self.windows, self.start_s, self.end_s = [empty], [empty], [np.zeros(0)], [np.zeros(0)]

    def add(
        self, path: str, embedding: np.ndarray, start_s: np.ndarray, end_s: np.ndarray, window_embeddings: np.ndarray
    ) -> None:
        self.paths.append(path)
        self.num_windows.append(len(start_s))
        self.embeddings.append(embedding[None])
        self.start_s.append(start_s)
        self.end_s.append(end_s)
        self.windows.append(window_embeddings)

    def close(self) -> None:
        with self.path.open("wb") as stream:
            np.savez(
                stream,
                paths=np.array(self.paths, dtype=np.str_),
                embeddings=np.concatenate(self.embeddings),
                num_windows=np.array(self.num_windows, dtype=np.int64),
                start_s=np.concatenate(self.start_s),
                end_s=np.concatenate(self.end_s),
                window_embeddings=np.concatenate(self.windows),
            )
