"""Names of files that are not UTF-8 through every output of `audio-dcls tag`."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from audio_dcls.data import load_manifest
from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint

NAMES = ["in/a.wav", "in/caf\udce9.wav", "in/z.wav"]
SHOWN = "in/caf\\udce9.wav"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, next to the folder `in` with three sounds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number, name in enumerate(NAMES):
        noise = np.random.default_rng(number).uniform(-0.3, 0.3, 16_000)
        try:
            with open(os.fsencode(name), "wb") as file:
                soundfile.write(file, noise, 32_000, format="WAV")
        except OSError:
            pytest.skip("this file system takes no such name")
    config = ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]})
    frontend, labels = FrontendConfig(clip_s=1.5), LabelSet(("/m/0bt9lr", "/m/04rlf"), ("Dog", "Music"))
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    tagger = build_tagger(config, frontend, len(labels))
    save_checkpoint(path, tagger, model_config=config, frontend_config=frontend, labels=labels, info={})
    return path


def test_names_that_are_not_utf8_lead_back_to_their_files(model: Path, command_line: Any) -> None:
    options = ["tag", "in", "--checkpoint", model, "--threshold", "0.01", "--embeddings"]
    printed = command_line(*options, "e.parquet", "--json", "--timeline", "t.csv").stdout
    assert [json.loads(line)["path"] for line in printed.splitlines()] == NAMES
    assert set(pd.read_parquet("e.parquet").path) == {NAMES[0], SHOWN, NAMES[2]}
    with open("t.csv", encoding="utf-8", newline="") as table:
        assert {row["path"] for row in csv.DictReader(table)} == {NAMES[0], SHOWN, NAMES[2]}
    command_line(*options, "e.npz", "--timeline", "t.jsonl")
    assert list(np.load("e.npz")["paths"]) == NAMES
    lines = Path("t.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["path"] for line in lines} == set(NAMES)


def test_the_picture_of_such_a_name_is_drawn(model: Path, command_line: Any) -> None:
    command_line("tag", NAMES[1], "--checkpoint", model, "--plot", "caf\udce9.png")
    assert Path("caf\udce9.png").is_file()


def test_a_tagging_of_such_names_is_resumed(model: Path, command_line: Any) -> None:
    command_line("tag", *NAMES[:2], "--checkpoint", model, "--out", "o.jsonl")
    printed = command_line("tag", "in", "--checkpoint", model, "--out", "o.jsonl", "--resume").stdout
    assert "2 of 3 sounds are done" in printed
    lines = Path("o.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["path"] for line in lines] == NAMES


def test_a_manifest_of_such_names_leads_to_their_files(model: Path, command_line: Any) -> None:
    command_line("manifest", "folders", ".", "--out", "m.csv", "--labels-out", "l.csv")
    clips = load_manifest("m.csv", LabelSet.from_csv("l.csv")).clips
    assert [clip.id for clip in clips] == NAMES
    assert all(clip.path.is_file() for clip in clips)
    command_line("manifest", "check", "m.csv", "--labels", "l.csv", "--report", "report.html")
