"""Sparse labels against loops and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import MultiLabelBinarizer

from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.label_matrix import class_counts, co_occurrence, label_matrix
from audio_dcls.errors import ArgumentError

NUM_CLASSES = 11


@pytest.fixture
def table() -> ClipTable:
    rng = np.random.default_rng(0)
    labels = [tuple(rng.permutation(NUM_CLASSES)[: rng.integers(0, 4)].tolist()) for _ in range(50)]
    return ClipTable.from_clips(
        Clip(str(index), Path("x.wav"), None, None, clip_labels, "train") for index, clip_labels in enumerate(labels)
    )


def test_is_scikit_learns(table: ClipTable) -> None:
    expected = MultiLabelBinarizer(classes=range(NUM_CLASSES)).fit_transform([clip.labels for clip in table])
    found = label_matrix(table, NUM_CLASSES)
    np.testing.assert_array_equal(found.toarray(), expected)
    np.testing.assert_array_equal(class_counts(table, NUM_CLASSES), expected.sum(axis=0))
    np.testing.assert_array_equal(co_occurrence(table, NUM_CLASSES), expected.T.astype(np.int64) @ expected)


def test_the_tables_labels_are_not_copied(table: ClipTable) -> None:
    assert np.shares_memory(label_matrix(table, NUM_CLASSES).indices, table.label_indices)


def test_labels_out_of_range_are_refused(table: ClipTable) -> None:
    with pytest.raises(ArgumentError, match=r"`num_classes` \(=10\) must be above every label index, .* index 10"):
        label_matrix(table, NUM_CLASSES - 1)


def test_no_clips() -> None:
    assert label_matrix(ClipTable.from_clips([]), 3).shape == (0, 3)
