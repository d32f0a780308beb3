"""Clips in an HDF5 file, one per row, in the layout in which PANNs packs AudioSet.

N rows, T samples, C classes: `audio_name` (N,) text, `waveform` (N, T) int16 or floating, `target` (N, C), and the
attribute `sample_rate`. A row without a name, without a label or with only zeros is blank: the packer could not
read that file. It is listed as a clip, so that reports count it, and refused when it is read.
"""

from __future__ import annotations

import functools
import os
import re
import threading
import warnings
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
import pandas as pd

from audio_dcls.data.sound.sound_file import unusable
from audio_dcls.data.sound.stored_sound import PcmSound
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import AudioFileError, ManifestError
from audio_dcls.files import path_remedy
from audio_dcls.labels import LabelSet

NAMES, WAVEFORMS, TARGETS = "audio_name", "waveform", "target"
_RATE_ATTRIBUTES = ("sample_rate", "sample_rate_hz", "sampling_rate", "sr")
_SPLIT_ATTRIBUTE = "split"
_DEFAULT_RATE_HZ = 32_000
ROWS_AT_ONCE = 65_536
_OPEN_FILES = 128
_NUMBERED = re.compile(r"(?:[-_. ]?part)?[-_. ]?\d+$")


class _Hdf5File:
    """One HDF5 file. One process uses it, from any number of threads; h5py serves one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # No lock: nothing is written, and many network file systems do not support locks.
            self.file = h5py.File(path, "r", locking=False)
        except FileNotFoundError as error:
            raise unusable(path, "missing", f"does not exist; {path_remedy(path)}, or remove its clips") from error
        except OSError as error:
            raise self._refused(f"is not a readable HDF5 file ({error})") from error
        missing = [name for name in (NAMES, WAVEFORMS, TARGETS) if not isinstance(self.file.get(name), h5py.Dataset)]
        if missing:
            raise self._refused(f"has no dataset '{missing[0]}'; it has {', '.join(self.file) or 'no datasets'}")
        self.names: Any = self.file[NAMES]
        self.waveforms: Any = self.file[WAVEFORMS]
        self.targets: Any = self.file[TARGETS]
        self._check_shapes()
        self.sample_rate_hz, self.says_rate = self._rate()

    def __len__(self) -> int:
        return len(self.names)

    def _check_shapes(self) -> None:
        for data, num_axes, kinds, meant in (
            (self.names, 1, "SO", "text"),
            (self.waveforms, 2, "if", "int16 or floating"),
            (self.targets, 2, "biuf", "0 and 1"),
        ):
            if data.ndim != num_axes or len(data) != len(self) or data.dtype.kind not in kinds:
                raise self._refused(
                    f"has a dataset '{data.name[1:]}' of shape {data.shape} and type {data.dtype}, which must have "
                    f"{num_axes} axes, as many rows as '{NAMES}' {self.names.shape}, and hold {meant}"
                )
        if self.waveforms.dtype.kind == "i" and self.waveforms.dtype.itemsize != 2:
            raise self._refused(f"has a dataset '{WAVEFORMS}' of {self.waveforms.dtype}, which must be int16 or float")

    def _rate(self) -> tuple[int, bool]:
        for attributes in (self.file.attrs, self.waveforms.attrs):
            for name in _RATE_ATTRIBUTES:
                if name in attributes:
                    return int(np.asarray(attributes[name]).reshape(-1)[0]), True
        return _DEFAULT_RATE_HZ, False

    def _refused(self, problem: str) -> AudioFileError:
        remedy = f"docs/sources.md describes the datasets {NAMES}, {WAVEFORMS} and {TARGETS}"
        return unusable(self.path, "unreadable", f"{problem}; {remedy}")

    def blank_because(self, row: int, samples: np.ndarray) -> str:
        """The reason why a row is blank, as part of a sentence; empty if it is not blank."""
        rules = {"no name": _text(self.names[row]), "no label": self.targets[row].any(), "only zeros": samples.any()}
        return " and ".join(fault for fault, is_kept in rules.items() if not is_kept)

    def read(self, row: int) -> PcmSound:
        """Read the sound of a row, and nothing else; raise an AudioFileError if it is missing, unreadable or blank."""
        name = f"'{self.path}', row {row}"
        if not 0 <= row < len(self):
            message = f"{name} does not exist: the file has {len(self)} rows; load the manifest again"
            raise AudioFileError(message, reason="missing")
        try:
            samples = self.waveforms[row]
            because = self.blank_because(row, samples)
        except OSError as error:  # h5py raises it for damaged files too
            message = f"{name} cannot be read ({error}); fetch the file again"
            raise AudioFileError(message, reason="unreadable") from error
        if because:
            raise AudioFileError(f"{name} is blank: it has {because}; pack the file again without it", reason="blank")
        if samples.dtype.kind == "f":
            samples = samples.astype(np.float32, copy=False)
        return PcmSound(samples=samples, sample_rate_hz=self.sample_rate_hz, name=name)


def read_row(path: str | Path, row: int) -> PcmSound:
    """Read the sound in a row of an HDF5 file, counted from 0; each process opens the file on first use.

    Raise an AudioFileError (missing, unreadable or blank) if the row cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with h5py.File(f"{folder}/a.h5", "w") as file:
    ...         file["audio_name"], file["target"] = [b"Yxy.wav"], [[False, True]]
    ...         file["waveform"] = np.ones((1, 4), dtype=np.int16)
    ...     read_row(f"{folder}/a.h5", 0).samples
    array([1, 1, 1, 1], dtype=int16)
    """
    with _opening:
        file = _file_of(Path(path), os.getpid())
    return file.read(row)


@functools.lru_cache(maxsize=_OPEN_FILES)
def _file_of(path: Path, process: int) -> _Hdf5File:
    """An open file of this process; a forked process does not use the files of its parent."""
    del process
    return _Hdf5File(path)


_opening = threading.Lock()


def _new_lock() -> None:
    """Replace the lock in a forked process, because a thread of the parent may have held the old one."""
    global _opening
    _opening = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def read_manifest(path: str | Path, labels: LabelSet, *, split: str | None = None) -> ClipTable:
    """List the rows of an HDF5 file, including blank ones; no waveform is read.

    The id of a clip is its name without the extension, or `FILE-rowN` for a row without a name. If a name is repeated,
    `-rowN` is appended to it. `labels` are the classes of the columns of `target`, in order. All rows are in `split`;
    None takes the attribute `split` of the file, or else its name (`split_of`).

    Raise a ManifestError if the file cannot be read or has a different number of classes. Warn if it does not give its
    sample rate: 32 000 Hz is assumed.
    """
    path = Path(path)
    try:
        file = _Hdf5File(path)
    except AudioFileError as error:
        raise ManifestError(str(error)) from error
    with file.file:
        if file.targets.shape[1] != len(labels):
            problem = f"has a dataset '{TARGETS}' of {file.targets.shape[1]} classes, the label set has {len(labels)}"
            raise ManifestError(f"'{path}' {problem}; name the label file it was packed with")
        if not file.says_rate:
            missing = f"'{path}' has no attribute '{_RATE_ATTRIBUTES[0]}'"
            warnings.warn(f"{missing}: a rate of {_DEFAULT_RATE_HZ} Hz is assumed", stacklevel=2)
        split = split or _text(file.file.attrs.get(_SPLIT_ATTRIBUTE, "")) or split_of(path.name)
        return ClipTable.from_store(path.parent, path.name, _ids(file), _labels(file), split)


def split_of(name: str) -> str:
    """The split that the name of a file implies.

    >>> [split_of(name) for name in ("balanced_train.h5", "unbalanced_train_part07.h5", "eval_segments.hdf5", "3.h5")]
    ['balanced_train', 'unbalanced_train', 'eval', '3']
    """
    stem = PurePosixPath(name).stem
    return _NUMBERED.sub("", stem).removesuffix("_segments") or stem


def _labels(file: _Hdf5File) -> tuple[np.ndarray, np.ndarray]:
    """The position after the last label of each row (N,) int64, and the labels of all rows (L,) int32."""
    counts, indices = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int32)]
    for first in range(0, len(file), ROWS_AT_ONCE):
        is_positive = file.targets[first : first + ROWS_AT_ONCE] != 0
        counts.append(np.count_nonzero(is_positive, axis=1).astype(np.int64))
        indices.append(np.nonzero(is_positive)[1].astype(np.int32))
    return np.cumsum(np.concatenate(counts)), np.concatenate(indices)


def _ids(file: _Hdf5File) -> list[str]:
    names = [PurePosixPath(_text(name)).stem for name in file.names[:]]
    ids = pd.Series([name or f"{file.path.stem}-row{row}" for row, name in enumerate(names)], dtype=object)
    for row in np.flatnonzero(ids.duplicated().to_numpy()).tolist():
        ids[row] = f"{ids[row]}-row{row}"
    return ids.to_list()


def _text(value: bytes | str) -> str:
    """A name, without the zeros and spaces that pad it."""
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ")
