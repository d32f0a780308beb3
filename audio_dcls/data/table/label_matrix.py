"""The labels of N clips as a sparse matrix, and counts of C classes."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError


def label_matrix(table: ClipTable, num_classes: int) -> scipy.sparse.csr_array:
    """A matrix (N, C) int8 with 1 where clip n has class c; the indices are a view of the labels of the table: do not
    change it.

    Two million clips of 527 classes are 2 GB as bytes; here they take about ten bytes per clip and five per label.
    Raise an ArgumentError if a label index is not below `num_classes`, C.

    >>> from pathlib import Path
    >>> from audio_dcls.data.table.clip import Clip
    >>> clips = [Clip(name, Path(name), None, None, labels, "train") for name, labels in (("a", (0, 2)), ("b", ()))]
    >>> label_matrix(ClipTable.from_clips(clips), 3).toarray().tolist()
    [[1, 0, 1], [0, 0, 0]]
    """
    indices = table.label_indices
    if len(indices) and not 0 <= indices.min() <= indices.max() < num_classes:
        bad = indices.min() if indices.min() < 0 else indices.max()
        raise ArgumentError(
            f"`num_classes` (={num_classes}) must be above every label index, and a clip has index {bad}; give the "
            "number of classes of the manifest's labels"
        )
    # scipy needs one type for both, and would copy the indices to the wider type.
    dtype = indices.dtype if len(indices) <= np.iinfo(indices.dtype).max else np.int64
    starts = np.concatenate([np.zeros(1, dtype=dtype), table.label_ends.astype(dtype)])
    ones = np.ones(len(indices), dtype=np.int8)
    return scipy.sparse.csr_array((ones, indices, starts), shape=(len(table), num_classes))


def class_counts(table: ClipTable, num_classes: int) -> np.ndarray:
    """The number of clips per class, (C,) int64, where C is larger than every label index."""
    return np.bincount(table.label_indices, minlength=num_classes)


def co_occurrence(table: ClipTable, num_classes: int) -> np.ndarray:
    """The number of clips that have both classes, (C, C) int64; the diagonal counts the clips of one class."""
    matrix = label_matrix(table, num_classes).astype(np.int64)
    return (matrix.T @ matrix).toarray()
