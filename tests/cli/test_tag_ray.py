"""A thousand files through Ray Data have the scores they have without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from audio_dcls.errors import ArgumentError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference import ArraySound
from audio_dcls.inference.ray_tagging import RayWorkers, tag_with_ray
from audio_dcls.labels import LabelSet
from audio_dcls.models import ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint

NUM_FILES, NUM_BROKEN = 1000, 20
RATE_HZ = 16_000
LABELS = LabelSet(("/t/a", "/t/b", "/t/c"), ("Dog", "Rain", "Siren"))
MODEL = ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]})
FRONTEND = FrontendConfig(clip_s=1.3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    tagger = build_tagger(MODEL, FRONTEND, len(LABELS))
    save_checkpoint(path, tagger, model_config=MODEL, frontend_config=FRONTEND, labels=LABELS, info={})
    return path


@pytest.fixture
def ended_ray() -> Iterator[None]:
    yield
    import ray

    ray.shutdown()


def outcomes(path: Path) -> dict[str, dict[str, Any]]:
    return {record["path"]: record for record in map(json.loads, path.read_text().splitlines())}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("ended_ray")
def test_a_thousand_files_have_the_same_scores(
    tmp_path: Path, model: Path, command_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    folder = tmp_path / "sounds"
    folder.mkdir()
    for index in range(NUM_FILES):
        path = folder / f"{index:04d}.wav"
        if index % (NUM_FILES // NUM_BROKEN) == 7:
            path.write_bytes(b"no sound")
        else:
            soundfile.write(path, 0.3 * rng.standard_normal(rng.integers(RATE_HZ // 4, 3 * RATE_HZ)), RATE_HZ)
    common = ["tag", "sounds", "--checkpoint", model, "--timeline", "e.csv"]
    command_line(*common, "--out", "alone.jsonl", code=1)
    command_line(*common, "--out", "ray.jsonl", "--engine", "ray", "--workers", 2, code=1)
    alone, by_ray = outcomes(tmp_path / "alone.jsonl"), outcomes(tmp_path / "ray.jsonl")
    assert list(by_ray) == list(alone)
    assert len(by_ray) == NUM_FILES
    assert sum("error" in record for record in by_ray.values()) == NUM_BROKEN
    for path, record in by_ray.items():
        if "error" in record:
            assert record == alone[path]
            continue
        assert [tag["name"] for tag in record["tags"]] == [tag["name"] for tag in alone[path]["tags"]]
        found, wanted = ([tag["score"] for tag in one["tags"]] for one in (record, alone[path]))
        np.testing.assert_allclose(found, wanted, atol=2e-6)  # other windows in a batch, other order of sums
        assert len(record["events"]) == len(alone[path]["events"])
    # What is done is not done again.
    command_line(*common, "--out", "ray.jsonl", "--resume", "--engine", "ray", code=1)
    assert outcomes(tmp_path / "ray.jsonl") == by_ray


def test_what_ray_cannot_do_is_said(tmp_path: Path, model: Path, command_line: Any) -> None:
    sound = tmp_path / "a.wav"
    soundfile.write(sound, np.zeros(RATE_HZ), RATE_HZ)
    tag = ["tag", sound, "--checkpoint", model]
    assert "--workers is an option of Ray" in command_line.refuse(*tag, "--workers", 2).splitlines()[-1]
    assert "'spark' is not one of" in command_line(*tag, "--engine", "spark", code=2).stderr
    assert "leave it out with --engine ray" in command_line.refuse(*tag, "--engine", "ray", "--plot", "x.png")
    array = ArraySound(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ)
    with pytest.raises(ArgumentError, match="'array' exists only in this process"):
        list(tag_with_ray([array], RayWorkers(str(model)), {}))
    with pytest.raises(ArgumentError, match=r"`num_workers` \(=0\)"):
        list(tag_with_ray([], RayWorkers(str(model), num_workers=0), {}))
