"""The timeline of a made file, by a model that was trained for it: every event is within one hop of the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study

RATE_HZ = 16_000
HOP_S = 0.25
TRUTH = [("Low", 2.0, 5.0), ("High", 4.0, 8.0), ("Noise", 10.0, 13.0), ("Low", 14.5, 17.0)]
ID_OF = {"Low": "/t/low", "High": "/t/high", "Noise": "/t/noise"}
DURATION_S = 19.0


def tone(labels: list[str], rng: np.random.Generator, duration_s: float) -> np.ndarray:
    """Sines and noise over a faint ground."""
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    sound = 1e-3 * rng.standard_normal(len(t))
    if "/t/low" in labels:
        sound += 0.2 * np.sin(2 * np.pi * rng.uniform(200, 400) * t)
    if "/t/high" in labels:
        sound += 0.2 * np.sin(2 * np.pi * rng.uniform(3000, 5000) * t)
    if "/t/noise" in labels:
        sound += 0.1 * rng.standard_normal(len(t))
    return sound.astype(np.float32)


@pytest.fixture(scope="module")
def study(tiny_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of tones and noise, some of them in silence, as long as its windows."""
    folder = tmp_path_factory.mktemp("timeline")
    rng = np.random.default_rng(0)
    (folder / "labels.csv").write_text(
        "index,mid,display_name\n0,/t/low,Low\n1,/t/high,High\n2,/t/noise,Noise\n3,/t/silence,Silence\n"
    )
    choices = [["/t/low"], ["/t/high"], ["/t/noise"], ["/t/low", "/t/high"], ["/t/silence"], ["/t/silence"]]
    rows = ["id,path,start_s,end_s,labels,split"]
    for index in range(300):
        labels = choices[index % len(choices)]
        soundfile.write(folder / f"{index}.wav", tone(labels, rng, 0.5), RATE_HZ)
        rows.append(f"{index},{index}.wav,,,{';'.join(labels)},{'train' if index < 240 else 'eval'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    changes = {
        "data": {"manifests": [str(folder / "manifest.csv")], "labels": str(folder / "labels.csv")},
        "frontend": {
            "clip_s": 0.5,
            "sample_rate_hz": RATE_HZ,
            "fft_size": 512,
            "hop_samples": 50,
            "num_mels": 64,
            "high_hz": 8000.0,
            "mean_db": -40.0,
            "std_db": 20.0,
        },
        "model": {"overrides": {"depths": [1, 1, 1, 1], "dims": [16, 16, 32, 32]}, "drop_path_rate": 0.0, "dcls": None},
        "augment": {"speed_probability": 0.0, "erase_probability": 0.0, "mixup_alpha": 0.0},
        "loop": {"epochs": 30, "effective_batch": 16, "per_device_batch": 16},
    }
    config = build(TrainConfig, merge(tiny_values, changes), "test")
    made = StudyDir(folder / "study")
    made.create(config)
    list(train_study(config, made, prepare_clips(config.data, load_manifests(config.data), folder / "clips.csv")))
    return folder / "study"


def made_sound() -> np.ndarray:
    rng = np.random.default_rng(1)
    sound = 1e-3 * rng.standard_normal(round(DURATION_S * RATE_HZ)).astype(np.float32)
    for name, onset_s, offset_s in TRUTH:
        first = round(onset_s * RATE_HZ)
        part = tone([ID_OF[name]], rng, offset_s - onset_s)
        sound[first : first + len(part)] += part
    return sound


@pytest.mark.slow  # trains a model
def test_events_are_within_one_hop_of_the_truth(study: Path, tmp_path: Path, command_line: Any) -> None:
    soundfile.write(tmp_path / "made.wav", made_sound(), RATE_HZ)
    arguments = ["--window", 0.5, "--hop", HOP_S, "--checkpoint", study, "--class", "Low", "--class", "High"]
    arguments += ["--class", "Noise", "--timeline", tmp_path / "e.csv", "--plot", tmp_path / "made.png"]
    command_line("eval", study, "--fit-thresholds", "eval")
    command_line("tag", tmp_path / "made.wav", *arguments, "--threshold", "fitted")
    events = pd.read_csv(tmp_path / "e.csv")
    assert len(events) == len(TRUTH)
    for (name, onset_s, offset_s), event in zip(TRUTH, events.itertuples(), strict=True):
        assert event.name == name
        assert abs(event.onset_s - onset_s) <= HOP_S and abs(event.offset_s - offset_s) <= HOP_S
