"""One or two processes, one or four micro-batches: the losses are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from audio_dcls.errors import ConfigError
from audio_dcls.runs.config import LoopConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.settings import merge
from audio_dcls.training.distributed.processes import build_fabric
from tests.training.distributed.test_failure import free_port

TOLERANCE = 1e-5
NUM_STEPS = 20
FAMILIES = {
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
    "convformer_s18": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
    "fastvit_t8": {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]},
}


def train(values: dict[str, Any], folder: Path, num_processes: int = 1, **loop: Any) -> tuple[list[float], float]:
    """Losses of the first steps, and mAP at the end, by the real command."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = folder.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(merge(values, {"loop": loop})), encoding="utf-8")
    command = [sys.executable, "-m", "audio_dcls_cli", "train", str(config), "--out", str(folder)]
    if num_processes > 1:
        launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={num_processes}", f"--master_port={free_port()}"]
        command[1:2] = [*launcher, "-m"]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in (StudyDir(folder).run(0).path / "metrics.jsonl").read_text().splitlines()]
    (scores,) = [line["eval"] for line in lines if "eval" in line]
    return [line["loss"] for line in lines if "loss" in line][:NUM_STEPS], scores["mAP"]


def family_values(values: dict[str, Any], name: str) -> dict[str, Any]:
    model = {"name": name, "overrides": FAMILIES[name], "layer_scale_init": None, "drop_path_rate": 0.3}
    return merge(values, {"model": model, "loop": {"epochs": 7, "evaluate_every_epochs": 0}})


@pytest.mark.parametrize(
    "name", [name if name.startswith("fastvit") else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)  # the quick one has batch norms, which need the other process
def test_two_processes_train_as_one_does(name: str, tiny_values: dict[str, Any], tmp_path: Path) -> None:
    values = family_values(tiny_values, name)
    alone, score_alone = train(values, tmp_path / "alone")
    together, score_together = train(values, tmp_path / "together", num_processes=2, per_device_batch=4)
    assert len(alone) == NUM_STEPS
    assert together == pytest.approx(alone, abs=TOLERANCE)
    assert score_together == pytest.approx(score_alone, abs=1e-3)  # each clip once: a second copy of one would show


@pytest.mark.parametrize("name", ["convnext_atto", pytest.param("convformer_s18", marks=pytest.mark.slow)])
def test_accumulated_batches_train_as_whole_ones_do(name: str, tiny_values: dict[str, Any], tmp_path: Path) -> None:
    values = family_values(tiny_values, name)
    whole, _ = train(values, tmp_path / "whole")
    cut, _ = train(values, tmp_path / "cut", per_device_batch=4)
    assert cut == pytest.approx(whole, abs=TOLERANCE)


def test_launcher_and_config_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(ConfigError, match=r"`loop.devices` \(=2\).*4 processes per machine that torchrun"):
        build_fabric(LoopConfig(devices=2, accelerator="cpu"))
