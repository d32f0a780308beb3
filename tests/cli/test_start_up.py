"""`audio-dcls tag` starts with what it uses, and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint

HEAVY = (
    "av", "fsspec", "h5py", "lightning_fabric", "librosa", "matplotlib", "miniaudio", "onnx", "onnxruntime", "openvino",
    "pandas", "pooch", "pyarrow", "scipy", "sklearn", "sounddevice", "tensorboard", "torchaudio",
)  # fmt: skip
SHOW_MODULES = """
import json, sys
from audio_dcls_cli.main import app
import torch, timm
before = set(sys.modules)
app(sys.argv[1:], standalone_mode=False)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_tag_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        name="convnext_atto", overrides={"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}, dcls=DclsConfig()
    )
    model = build_tagger(config, FrontendConfig(), 2)
    labels, path, sound = LabelSet(("/t/a", "/t/b"), ("A", "B")), tmp_path / "model.safetensors", tmp_path / "a.wav"
    save_checkpoint(path, model, model_config=config, frontend_config=FrontendConfig(), labels=labels, info={})
    soundfile.write(sound, np.random.default_rng(0).uniform(-0.1, 0.1, (44_100, 2)), 44_100)
    command = [sys.executable, "-c", SHOW_MODULES, "tag", str(sound), "--checkpoint", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, modules = map(json.loads, done.stdout.splitlines())
    assert first["num_windows"] == 1
    assert not sorted({name.partition(".")[0] for name in modules} & set(HEAVY))
