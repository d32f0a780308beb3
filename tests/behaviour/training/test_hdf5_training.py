"""A PANNs-layout HDF5 file with a tenth of its rows blank: training uses the other rows and reports the blank ones."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.sound.decode import read_clip
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study
from audio_dcls_cli.screen.progress import show_coverage

RATE_HZ = 32_000
NUM_SAMPLES = 41_600
BLANK = {3: "no name", 9: "no label", 14: "only zeros", 23: "no name and no label and only zeros"}
"""What is missing in the blank rows, by row, among the 40 rows to train on."""


def write_panns(path: Path, sounds: list[np.ndarray], targets: np.ndarray, blank: dict[int, str]) -> None:
    """The datasets and types that PANNs' packing script writes."""
    with h5py.File(path, "w") as file:
        names = file.create_dataset("audio_name", shape=(len(sounds),), dtype="S20")
        waveforms = file.create_dataset("waveform", shape=(len(sounds), NUM_SAMPLES), dtype=np.int16)
        flags = file.create_dataset("target", shape=targets.shape, dtype=bool)
        file.attrs.create("sample_rate", data=RATE_HZ, dtype=np.int32)
        for row, sound in enumerate(sounds):
            fault = blank.get(row, "")
            if "name" not in fault:
                names[row] = f"Y{path.stem[:5]}{row:04d}.wav".encode()
            if "zeros" not in fault:
                waveforms[row] = np.rint(32_767 * np.resize(sound, NUM_SAMPLES)).astype(np.int16)
            if "label" not in fault:
                flags[row] = targets[row]


@pytest.fixture
def config(tiny_corpus: Path, tiny_values: dict[str, Any], tmp_path: Path) -> TrainConfig:
    """The tiny corpus, in two files: 40 rows to train on, and 12 to measure on."""
    with (tiny_corpus / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    classes = ["/t/low", "/t/high", "/t/noise"]
    for split, num_rows, blank in (("train", 40, BLANK), ("eval", 12, {})):
        own = [row for row in rows if row["split"] == split]
        own = [own[place % len(own)] for place in range(num_rows)]
        gains = np.linspace(0.5, 1.0, num_rows)  # a sound that comes again is not the same one
        sounds = [
            gain * read_clip(tiny_corpus / row["path"], sample_rate_hz=RATE_HZ)
            for gain, row in zip(gains, own, strict=True)
        ]
        targets = np.array([[name in row["labels"].split(";") for name in classes] for row in own])
        write_panns(tmp_path / f"{split}.h5", sounds, targets, blank)
    manifests = [str(tmp_path / name) for name in ("train.h5", "eval.h5")]
    changes = {"data": {"manifests": manifests}, "loop": {"epochs": 1}}
    return build(TrainConfig, merge(tiny_values, changes), "test")


def test_blank_rows_are_left_out_of_training_and_said_to_be(config, tmp_path, monkeypatch, capsys):
    given: list[tuple[str, int | None]] = []
    get = ClipDataset.__getitem__

    def counted(self: ClipDataset, item: tuple[int, int]) -> Any:
        sample = get(self, item)
        assert "failure" not in sample and bool(sample["waveform"].any()) and bool(sample["target"].any())
        given.append((self.clips[item[1]].split, self.clips[item[1]].row))
        return sample

    monkeypatch.setattr(ClipDataset, "__getitem__", counted)
    report_path = tmp_path / "clip_report.csv"
    clips = prepare_clips(config.data, load_manifests(config.data), report_path)
    assert {problem.reason for problem in clips.report.problems} == {"blank"}
    assert [problem.message.split("it has ")[1].split(";")[0] for problem in clips.report.problems] == [*BLANK.values()]
    assert len(clips.train) == 36 and len(clips.eval) == 12
    show_coverage(clips.report, report_path)
    said = capsys.readouterr().out
    assert "Clips, train: 36 of 40 usable (90.0%)" in said and "Clips, eval: 12 of 12 usable" in said
    assert said.count("(blank)") == 4 and "train.h5', row 9 is blank: it has no label" in said
    study = StudyDir(tmp_path / "study")
    study.create(config)
    list(train_study(config, study, clips))
    trained_rows = {row for split, row in given if split == "train"}
    assert trained_rows and trained_rows.isdisjoint(BLANK)
    assert {row for split, row in given if split == "eval"} == set(range(12))
