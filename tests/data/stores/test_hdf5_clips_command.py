"""`audio-dcls manifest hdf5`, and HDF5 files where manifests stand, through the real command."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

LABELS = "index,mid,display_name\n0,/t/a,A\n1,/t/b,B\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of ten rows, one of each blank."""
    (tmp_path / "labels.csv").write_text(LABELS)
    rng = np.random.default_rng(0)
    for name in ("part0", "part1"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["audio_name"] = [f"{name}{row}.wav".encode() for row in range(10)]
            file["waveform"] = rng.integers(-9000, 9000, (10, 6400), dtype=np.int16)
            file["target"] = [[row != 7, row % 2 == 0 and row != 7] for row in range(10)]
            file.attrs["sample_rate"] = 32_000
    return tmp_path


def test_rows_become_a_manifest_with_the_splits_asked_for(folder, manifest_command):
    arguments = ("hdf5", "part0.h5", "part1.h5", "--split", "train", "--split", "eval", "--labels", "labels.csv")
    found = json.loads(manifest_command(*arguments, "--out", "all.csv", "--json", cwd=folder))
    assert found["splits"] == {"train": 9, "eval": 9} and found["num_without_labels"] == 2
    assert "18 rows of 2 files; 2 without a label left out" in manifest_command(
        *arguments, "--out", "all.csv", cwd=folder
    )
    manifest_command("check", "all.csv", "--labels", "labels.csv", "--workers", "0", cwd=folder)


def test_a_file_is_checked_as_it_is(folder, manifest_command):
    text = manifest_command(
        "check", "part0.h5", "--labels", "labels.csv", "--workers", "0", "--json", cwd=folder, code=1
    )
    assert "blank" in text and "part07" in text
    assert "part" in manifest_command("stats", "part0.h5", "--labels", "labels.csv", cwd=folder)


def test_mistakes_are_one_line(folder, manifest_command):
    for arguments, words in (
        (("part0.h5", "part1.h5", "--split", "train"), "--split is given 1 times for 2 files; give one for each"),
        (("part0.h5", "part0.h5"), "is listed before"),
        (("labels.csv",), "is not a readable HDF5 file"),
    ):
        error = manifest_command("hdf5", *arguments, "--labels", "labels.csv", "--out", "x.csv", cwd=folder, code=2)
        assert words in error
