"""`audio-dcls checkpoint` through the real command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint, store_thresholds

LABELS = LabelSet(("a", "b", "c"), ("Ape", "Bat", "Cat"))
MODEL = ModelConfig(
    name="convnext_atto", overrides={"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}, dcls=DclsConfig(kernel_count=5)
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two checkpoints that may be averaged, and two files of labels."""
    monkeypatch.chdir(tmp_path)
    frontend = FrontendConfig(clip_s=1.5)
    for seed in (0, 1):
        torch.manual_seed(seed)
        tagger = build_tagger(MODEL, frontend, len(LABELS))
        info = {"seed": seed, "step": 7, "epoch": 1.5, "metrics": {"mAP": 0.5, "num_clips": 9, "clip_id_hash": "abc"}}
        info["config"] = {"data": {"manifests": ["/home/x.csv"]}}
        path = Path(f"{seed}.safetensors")
        save_checkpoint(path, tagger, model_config=MODEL, frontend_config=frontend, labels=LABELS, info=info)
    LABELS.to_csv("labels.csv")
    LABELS.subset(["b", "a", "c"]).to_csv("turned.csv")
    return tmp_path


def test_show_says_what_it_holds(files: Path, command_line: Any) -> None:
    text = " ".join(command_line("checkpoint", "show", "0.safetensors").stdout.split())
    for said in (
        "format 2, tagger",
        "convnext_atto, DCLS 23x23, 5 elements",
        "3 (Ape, Bat, Cat), sigmoid",
        "mAP 0.5000 on 9 clips (abc)",
        "seed 0, step 7, epoch 1.5",
        "thresholds none",
        "licence not named",
    ):
        assert said in text
    store_thresholds("0.safetensors", [0.1, 0.2, 0.3], split="val", clip_id_hash="x")
    shown = json.loads(command_line("checkpoint", "show", "0.safetensors", "--json").stdout)
    assert shown["path"] == "0.safetensors" and shown["thresholds"]["split"] == "val"
    assert "fitted on val" in command_line("checkpoint", "show", "0.safetensors").stdout


def test_verify_names_every_fault(files: Path, command_line: Any) -> None:
    assert "0.safetensors: whole" in command_line("checkpoint", "verify", "0.safetensors", "1.safetensors").stdout
    command_line("checkpoint", "verify", "0.safetensors", "--labels", "labels.csv")
    turned = command_line("checkpoint", "verify", "0.safetensors", "--labels", "turned.csv", code=1).stdout
    assert "in another order: class 0 is 'Ape', there 'Bat'" in turned
    content = bytearray(Path("1.safetensors").read_bytes())
    content[-9] ^= 8
    Path("1.safetensors").write_bytes(content)
    printed = command_line("checkpoint", "verify", "none", "1.safetensors", "0.safetensors", "--json", code=1).stdout
    found = json.loads(printed)
    assert "does not exist" in found["none"][0] and "not as it was written" in found["1.safetensors"][0]
    assert found["0.safetensors"] == []


def test_average_and_strip_write_a_file_that_tags(files: Path, command_line: Any) -> None:
    assert "average of 2" in command_line("checkpoint", "average", "0.safetensors", "1.safetensors", "--out", "a.safetensors").stdout  # fmt: skip  # noqa: E501
    assert load_checkpoint("a.safetensors").info["metrics"] is None
    assert "exists" in command_line.refuse("checkpoint", "strip", "0.safetensors", "--out", "a.safetensors")
    command_line("checkpoint", "strip", "0.safetensors", "--out", "a.safetensors", "--replace")
    assert b"/home/x.csv" not in Path("a.safetensors").read_bytes()
    assert "must end in .safetensors" in command_line.refuse("checkpoint", "strip", "0.safetensors", "--out", "a.pth")
    assert "two checkpoints or more" in command_line.refuse("checkpoint", "average", "0.safetensors", "--out", "b.safetensors")  # fmt: skip  # noqa: E501


def test_what_cannot_be_converted_or_pushed_is_one_line(files: Path, command_line: Any) -> None:
    torch.save({"weight": torch.zeros(3)}, "theirs.pth")
    assert "theirs.pth" in command_line.refuse("checkpoint", "convert", "theirs.pth", "--out", "b.safetensors")
    shutil.copy("0.safetensors", "c.safetensors")
    assert "owner" in command_line.refuse("checkpoint", "push", "c.safetensors", "noowner")
    assert not Path("b.safetensors").exists()
