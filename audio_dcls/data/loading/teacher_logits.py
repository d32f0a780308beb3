"""Logits of a teacher by clip: written while the teacher is measured, read when a student is trained.

Axis legend: K used rows of the file, N clips of the training set, b clips of a batch, C classes.

An HDF5 file (.h5, .hdf5) has the datasets `ids` (text) and `logits` (rows, C); a Parquet (.parquet) or Arrow file
(.arrow, .feather) the columns `id` and `logits`, a list of C numbers. Rows may be in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from audio_dcls.errors import ConfigError
from audio_dcls.extras import need_package
from audio_dcls.files import path_remedy

_ROWS_AT_ONCE = 16_384
_Rows = tuple[list[str], np.ndarray]


class TeacherLogits:
    """The logits of a teacher for some of the clips.

    Args:
        logits: (K, C), floating.
        rows: (N,) int64, the row of each clip, -1 for a clip without logits.
    """

    def __init__(self, logits: np.ndarray, rows: np.ndarray) -> None:
        self.logits, self.rows = torch.from_numpy(logits), torch.from_numpy(rows)

    @property
    def coverage(self) -> float:
        """Share of the clips with logits, 0 to 1."""
        return float((self.rows >= 0).double().mean())

    def lookup(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Look up the logits of clips.

        Args:
            indices: (b,) int64, places in the list of clips.

        Returns:
            (b, C) float32, zeros for a clip without logits; and (b,) bool, True for a clip with logits.

        >>> teacher = TeacherLogits(np.array([[1.0, -2.0]]), np.array([-1, 0]))
        >>> teacher.coverage, teacher.lookup(torch.tensor([1, 0]))
        (0.5, (tensor([[ 1., -2.],
                [ 0.,  0.]]), tensor([ True, False])))
        """
        rows = self.rows[indices]
        known = rows >= 0
        logits = self.logits[rows.clamp(min=0)].float()
        return logits.masked_fill(~known[:, None], 0.0), known


def load_teacher(path: str | Path, clip_ids: Sequence[str], num_classes: int) -> TeacherLogits:
    """Read the logits of clips; they stay in memory in the file's own type.

    Args:
        path: the file.
        clip_ids: ids of the N clips.
        num_classes: C.

    Raises:
        ConfigError: the file is missing, has another form or another number of classes, holds a clip twice or a number
            that is not finite, or has logits of no clip.
    """
    path = Path(path)
    place = {clip_id: index for index, clip_id in enumerate(clip_ids)}
    rows = np.full(len(clip_ids), -1, dtype=np.int64)
    parts: list[np.ndarray] = []
    num_rows = 0
    for ids, logits in _read(path):
        if logits.shape[1] != num_classes:
            raise _refused(
                path, f"has logits of {logits.shape[1]} classes, not {num_classes}; use a teacher of the same classes"
            )
        used = [(at, place[clip_id]) for at, clip_id in enumerate(ids) if clip_id in place]
        if not used:
            continue
        at, clips = (np.array(column, dtype=np.int64) for column in zip(*used, strict=True))
        twice = clips[rows[clips] >= 0] if len(set(clips.tolist())) == len(clips) else clips
        if len(twice):
            raise _refused(path, f"holds a clip twice, around '{clip_ids[int(twice[0])]}'; write each clip once")
        if not np.isfinite(logits[at]).all():
            bad = clips[~np.isfinite(logits[at]).all(axis=1)][0]
            raise _refused(path, f"holds logits of clip '{clip_ids[int(bad)]}' that are not finite; leave it out")
        rows[clips] = num_rows + np.arange(len(clips))
        parts.append(logits[at])
        num_rows += len(clips)
    if not parts:
        first = f", such as '{clip_ids[0]}'" if len(clip_ids) else ""
        raise _refused(
            path, f"has no logits of the {len(clip_ids)} training clips{first}; its ids must be the manifest's"
        )
    return TeacherLogits(np.concatenate(parts), rows)


class TeacherWriter:
    """A context manager that writes an HDF5 file for `load_teacher`.

    Args:
        path: the file.
        num_classes: C.
    """

    def __init__(self, path: str | Path, num_classes: int) -> None:
        self.path, self.num_classes = Path(path), num_classes

    def __enter__(self) -> TeacherWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = h5py.File(self.path, "w")
        except OSError as error:
            raise ConfigError(f"'{self.path}' cannot be written: {error}; give another file") from error
        text = h5py.string_dtype()
        self.ids = self.file.create_dataset("ids", (0,), maxshape=(None,), dtype=text, chunks=(_ROWS_AT_ONCE,))
        shape = (0, self.num_classes)
        self.logits = self.file.create_dataset(
            "logits", shape, maxshape=(None, self.num_classes), dtype="float32", chunks=(64, self.num_classes)
        )
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def write(self, ids: Sequence[str], logits: np.ndarray) -> None:
        """Append rows.

        Args:
            ids: ids of the clips.
            logits: (len(ids), C).
        """
        start, end = len(self.ids), len(self.ids) + len(ids)
        self.ids.resize(end, axis=0)
        self.logits.resize(end, axis=0)
        self.ids[start:end] = list(ids)
        self.logits[start:end] = logits


def _read(path: Path) -> Iterator[_Rows]:
    if not path.is_file():
        raise ConfigError(f"`distillation.file` (='{path}') does not exist; {path_remedy(path)}")
    readers: dict[str, Callable[[Path], Iterator[_Rows]]] = {
        ".h5": _read_hdf5,
        ".hdf5": _read_hdf5,
        ".parquet": _read_parquet,
        ".arrow": _read_arrow,
        ".feather": _read_arrow,
    }
    if path.suffix.lower() not in readers:
        raise _refused(path, f"must end in one of {', '.join(readers)}")
    try:
        yield from readers[path.suffix.lower()](path)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _refused(
            path, f"cannot be read as {path.suffix}: {error}; see the forms in docs/fine_tuning.md"
        ) from error


def _read_hdf5(path: Path) -> Iterator[_Rows]:
    with h5py.File(path, "r") as file:
        ids: Any = file["ids"]
        logits: Any = file["logits"]
        if logits.ndim != 2 or len(ids) != len(logits) or logits.dtype.kind != "f":
            raise ValueError(
                f"`logits` {logits.shape} must be floating point and have a row for each of {len(ids)} ids"
            )
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            end = start + _ROWS_AT_ONCE
            yield [value.decode() for value in ids[start:end]], logits[start:end]


def _read_parquet(path: Path) -> Iterator[_Rows]:
    file = need_package("pyarrow.parquet", "arrow", ConfigError).ParquetFile(path)
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["id", "logits"]):
        yield _rows_of(batch)


def _read_arrow(path: Path) -> Iterator[_Rows]:
    with need_package("pyarrow.ipc", "arrow", ConfigError).open_file(path) as file:
        for number in range(file.num_record_batches):
            yield _rows_of(file.get_batch(number))


def _rows_of(batch: Any) -> _Rows:
    column = batch.column("logits")
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if flat.dtype.kind != "f" or (len(batch) and len(flat) % len(batch)):
        raise ValueError("`logits` must hold lists of floating-point numbers, all of one length")
    return batch.column("id").to_pylist(), flat.reshape(len(batch), -1)


def _refused(path: Path, problem: str) -> ConfigError:
    return ConfigError(f"`distillation.file` (='{path}') {problem}")
