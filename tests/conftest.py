"""Fixtures shared by all tests: small sounds, and a training config that takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import soundfile
import torch

# The clock tells of the other processes of a busy machine; the same examples each time make a failure come again.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")
RATE_HZ = 16_000
TINY_LABELS = "index,mid,display_name\n0,/t/low,Low\n1,/t/high,High\n2,/t/noise,Noise\n"


def tiny_sound(labels: list[str], rng: np.random.Generator, duration_s: float = 1.0) -> np.ndarray:
    """A tone, a higher tone, noise, or a mixture, at a random level."""
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    sound = 1e-3 * rng.standard_normal(len(t))
    if "/t/low" in labels:
        sound += np.sin(2 * np.pi * rng.uniform(200, 400) * t)
    if "/t/high" in labels:
        sound += np.sin(2 * np.pi * rng.uniform(3000, 5000) * t)
    if "/t/noise" in labels:
        sound += 0.5 * rng.standard_normal(len(t))
    return (rng.uniform(0.05, 0.3) * sound).astype(np.float32)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 24 train and 12 eval clips of about 1 s, manifest.csv and labels.csv."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "labels.csv").write_text(TINY_LABELS)
    rng = np.random.default_rng(0)
    choices = [["/t/low"], ["/t/high"], ["/t/noise"], ["/t/low", "/t/high"], ["/t/high", "/t/noise"]]
    rows = ["id,path,start_s,end_s,labels,split"]
    for index in range(36):
        labels = choices[index % len(choices)]
        name = f"clip{index:02d}.wav"
        soundfile.write(folder / name, tiny_sound(labels, rng, rng.uniform(0.5, 1.5)), RATE_HZ)
        rows.append(f"clip{index:02d},{name},,,{';'.join(labels)},{'train' if index < 24 else 'eval'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny_values(tiny_corpus: Path) -> dict[str, Any]:
    """Plain values of a TrainConfig on the tiny corpus: a two-stage-deep ConvNeXt on 1.3-s clips."""
    return {
        "name": "tiny",
        "data": {
            "manifests": [str(tiny_corpus / "manifest.csv")],
            "labels": str(tiny_corpus / "labels.csv"),
            "num_workers": 0,
        },
        "frontend": {"clip_s": 1.3},
        "model": {
            "name": "convnext_atto",
            "overrides": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
            "layer_scale_init": 0.1,
            "drop_path_rate": 0.1,
            "dcls": {"kernel_size": [7, 7], "kernel_count": 5},
        },
        "augment": {"mixup_group_clips": 4},
        "optimizer": {"peak_rate": 4e-3, "warmup_epochs": 1},
        "loop": {
            "epochs": 3,
            "effective_batch": 8,
            "per_device_batch": 8,
            "precision": "fp32",
            "log_every_steps": 1,
            "accelerator": "cpu",
        },
    }


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    """The suite runs in one process a core: more threads than that would wait for each other."""
    torch.set_num_threads(1)
