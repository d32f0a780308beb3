"""Embeddings on disk are those that were given, in both forms, or there is no file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audio_dcls.errors import ArgumentError
from audio_dcls.inference.embedding_files import EmbeddingFile

NUM_FEATURES = 5


def some_sounds(count: int) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    sounds = []
    for number in range(count):
        start_s = np.arange(1 + number % 3, dtype=float)
        windows = rng.standard_normal((len(start_s), NUM_FEATURES)).astype(np.float32)
        sounds.append((f"sound {number}.wav", windows.mean(axis=0), start_s, start_s + 2, windows))
    return sounds


def write(path: Path, count: int) -> None:
    with EmbeddingFile(path) as file:
        for sound in some_sounds(count):
            file.add(*sound)
    assert file.num_sounds == count


def test_npz_is_read_by_numpy_without_pickle(tmp_path: Path) -> None:
    write(tmp_path / "new" / "a.npz", 7)
    with np.load(tmp_path / "new" / "a.npz", allow_pickle=False) as found:
        last = np.cumsum(found["num_windows"])
        for number, (path, embedding, start_s, end_s, windows) in enumerate(some_sounds(7)):
            own = slice(last[number] - len(start_s), last[number])
            assert found["paths"][number] == path
            np.testing.assert_array_equal(found["embeddings"][number], embedding)
            np.testing.assert_array_equal(found["window_embeddings"][own], windows)
            np.testing.assert_array_equal(found["start_s"][own], start_s)
            np.testing.assert_array_equal(found["end_s"][own], end_s)
        assert last[-1] == len(found["window_embeddings"])


def test_parquet_is_read_by_pandas_over_row_groups(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 600)
    frame = pd.read_parquet(tmp_path / "a.parquet")
    assert len(frame) == 600
    for number in (0, 1, 255, 256, 599):
        path, embedding, start_s, end_s, windows = some_sounds(number + 1)[-1]
        row = frame.iloc[number]
        assert row.path == path
        np.testing.assert_array_equal(row.embedding, embedding)
        np.testing.assert_array_equal(np.stack(list(row.window_embeddings)), windows)
        np.testing.assert_array_equal(row.start_s, start_s)
        np.testing.assert_array_equal(row.end_s, end_s)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_no_sound_is_an_empty_file_and_a_failure_leaves_the_old_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, 0)
    content = path.read_bytes()
    with pytest.raises(ArgumentError), EmbeddingFile(path) as file:
        file.add(*some_sounds(1)[0][:2], np.zeros(3), np.zeros(2), np.zeros((1, 1)))
    assert path.read_bytes() == content
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"must end in one of \.npz, \.parquet"):
        EmbeddingFile(tmp_path / "a.csv")
    path, embedding, start_s, end_s, windows = some_sounds(1)[0]
    with EmbeddingFile(tmp_path / "a.npz") as file:
        file.add(path, embedding, start_s, end_s, windows)
        with pytest.raises(ArgumentError, match="has 4 features, but earlier ones have 5"):
            file.add("b.wav", embedding[:4], start_s, end_s, windows[:, :4])
        with pytest.raises(ArgumentError, match=r"of 'b\.wav' must have 1 rows"):
            file.add("b.wav", embedding, start_s, end_s, windows[:, :4])
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="cannot be written"), EmbeddingFile(tmp_path / "file" / "a.npz"):
        pass
