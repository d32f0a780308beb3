"""`audio-dcls export` through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile

from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def model_path(tiny_corpus: Path, tmp_path: Path) -> Path:
    labels = LabelSet.from_csv(tiny_corpus / "labels.csv")
    overrides: dict[str, Any] = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
    config = ModelConfig(name="convnext_atto", overrides=overrides, layer_scale_init=0.5, dcls=DclsConfig())
    frontend = FrontendConfig(clip_s=1.3)
    path = tmp_path / "model.safetensors"
    model = build_tagger(config, frontend, len(labels))
    save_checkpoint(path, model, model_config=config, frontend_config=frontend, labels=labels, info={"seed": 0})
    return path


def test_what_eight_bits_cost_is_measured_and_the_graph_tags(
    command_line: Any, model_path: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sound = tiny_corpus / "clip00.wav"
    options = ("--int8", "--measure", tiny_corpus / "manifest.csv", "--split", "eval", "--check", sound, "--json")
    printed = json.loads(command_line("export", model_path, *options).stdout)
    assert printed["path"] == "convnext_atto-dcls-int8.onnx" and printed["parity"]["num_sounds"] == 1
    assert abs(printed["mAP"]["exported"] - printed["mAP"]["checkpoint"]) < 0.3
    assert "mAP measured" in (tmp_path / "convnext_atto-dcls-int8.onnx.md").read_text()
    tagged = [
        json.loads(command_line("tag", sound, "--checkpoint", checkpoint, "--json").stdout)
        for checkpoint in ("convnext_atto-dcls-int8.onnx", model_path)
    ]
    scores = [{tag["name"]: tag["score"] for tag in _only(found)["tags"]} for found in tagged]
    assert scores[0] == pytest.approx(scores[1], abs=0.05) and len(scores[0]) == 3


def test_weights_are_written_and_not_over_another_file(command_line: Any, model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights.safetensors"
    arguments = ("export", model_path, "--format", "safetensors", "--out", out)
    printed = command_line(*arguments).stdout
    assert "weights.safetensors" in printed and "from it in float64" in " ".join(printed.split())
    assert "exists; name another file with --out" in command_line.refuse(*arguments)
    command_line(*arguments, "--replace")
    onto_itself = ("--format", "safetensors", "--out", model_path, "--replace")
    assert "exists" in command_line.refuse("export", model_path, *onto_itself)


def test_mistakes_are_named(command_line: Any, model_path: Path, tmp_path: Path) -> None:
    weights = ("export", model_path, "--format", "safetensors", "--out", tmp_path / "w.safetensors")
    assert "'nowhere' does not exist" in command_line.refuse("export", "nowhere")
    assert "is for `--format onnx`" in command_line.refuse(*weights, "--opset", 20)
    assert "`--measure`, which is missing" in command_line.refuse(*weights, "--split", "eval")
    assert "--int8 works with 'onnx', not with the format" in command_line.refuse(*weights, "--int8")
    assert "missing.wav' does not exist" in command_line.refuse(*weights, "--check", tmp_path / "missing.wav")
    soundfile.write(tmp_path / "short.wav", [0.1, -0.1] * 100, 16_000)
    command_line(*weights, "--check", tmp_path / "short.wav")


def _only(found: Any) -> Any:
    return found[0] if isinstance(found, list) else found
