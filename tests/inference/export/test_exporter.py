"""Exported taggers give what the model gives, in ONNX Runtime, OpenVINO and torch, at every length and batch.

The oracles are the model, and the model in float64.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors
import safetensors.torch
import timm
import torch
from torch import nn

from audio_dcls.dcls import freeze
from audio_dcls.errors import ArgumentError, CheckpointError, ModelError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference import Tagger
from audio_dcls.inference.backends import BackendName, TorchBackend
from audio_dcls.inference.backends.graph_info import GraphInfo
from audio_dcls.inference.backends.onnx_backend import OnnxBackend
from audio_dcls.inference.build_backend import build_backend
from audio_dcls.inference.export import export_checkpoint, load_exported
from audio_dcls.inference.export.graph_card import describe
from audio_dcls.inference.export.parity import TOLERANCE, made_sounds
from audio_dcls.inference.export.waveform_graph import ConvolutionLogMel, WaveformGraph
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, PatchStem, build_tagger
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint, load_checkpoint, save_checkpoint

LABELS = LabelSet(ids=tuple("abcde"), names=("A", "B", "C", "D", "E"))
NARROW = {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]}
FAMILIES = ("convnext_atto", "convformer_s18", "fastvit_sa12")
PAPER = ("convnext_tiny", "convformer_s18", "fastvit_sa24")
SHORTEST = 40_640
# Any lengths: whole patches, one sample less, more than was traced, and batches of one and several.
SHAPES = ((3, 47_600), (2, 128 * 320 - 1), (1, 170_123))
EAGER_TOLERANCE = 1e-4


def randomise(model: nn.Module) -> None:
    """Weights of trained models' sizes, so that every layer is heard in the logits."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key.endswith("gamma"):
                tensor.uniform_(0.1, 0.3, generator=generator)
            elif key.endswith("running_var") or (tensor.ndim == 1 and key.endswith("weight")):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif key.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.1, generator=generator)
            elif key.endswith("weight"):
                tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
            elif key.endswith("positions"):
                tensor.normal_(0, 2, generator=generator)


def checkpoint(
    path: Path, name: str, *, dcls: bool = True, activation: str = "sigmoid", thresholds: Any = None, **changes: Any
) -> LoadedCheckpoint:
    config = ModelConfig(name=name, **{"overrides": NARROW, **changes}, dcls=DclsConfig() if dcls else None)
    frontend = FrontendConfig()
    model = build_tagger(config, frontend, len(LABELS)).eval()
    randomise(model.backbone)
    calibrate(model)
    info = {"activation": activation, "thresholds": thresholds, "seed": 3, "licence": "cc-by-4.0"}
    save_checkpoint(path, model, model_config=config, frontend_config=frontend, labels=LABELS, info=info)
    return load_checkpoint(path)


@torch.no_grad()
def calibrate(model: Any) -> None:
    """Measure the batch norms, and scale the classifier so that logits differ by about one: probabilities are steep."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().reset_running_stats()
        norm.momentum = None
    model(torch.from_numpy(noise((2, 2 * SHORTEST))))
    for norm in norms:
        norm.eval()
    sounds = made_sounds(SHORTEST, 32_000)
    logits = torch.stack([model(torch.from_numpy(sound)[None])[0] for sound in sounds])
    head = model.backbone.get_classifier()
    head = getattr(head, "fc2", head)
    factor = 1 / logits.std(0).mean()
    head.weight.mul_(factor)
    head.bias.copy_(-(logits.mean(0) - head.bias) * factor)


def noise(shape: tuple[int, int]) -> np.ndarray:
    """Coloured noise that swells: every band is filled."""
    generator = np.random.default_rng(shape[1])
    sound = 0.1 * generator.standard_normal(shape) * np.linspace(0.1, 1, shape[1])
    return (sound + 0.5 * np.roll(sound, 1, axis=1)).astype(np.float32)


@torch.inference_mode()
def eager(model: nn.Module, windows: np.ndarray, activation: str) -> np.ndarray:
    logits = model(torch.from_numpy(windows).to(next(model.parameters()).dtype))
    return (logits.softmax(1) if activation == "softmax" else logits.sigmoid()).numpy()


def assert_parity(loaded: LoadedCheckpoint, run: Callable[[np.ndarray], Any], shapes: Any = SHAPES) -> None:
    found = [run(noise(shape))[0] for shape in shapes]
    exact = freeze(copy.deepcopy(loaded.model).double())
    for shape, probabilities in zip(shapes, found, strict=True):
        assert probabilities.shape == (shape[0], len(LABELS))
        wanted = eager(exact, noise(shape), loaded.activation)
        assert np.abs(probabilities - wanted).max() < TOLERANCE, shape
        wanted = eager(loaded.model, noise(shape), loaded.activation)
        assert np.abs(probabilities - wanted).max() < EAGER_TOLERANCE, shape
    assert np.ptp(np.concatenate(found)[:, 0]) > 0.01  # what is compared depends on the sound


@pytest.mark.parametrize("dcls", [True, False], ids=["dcls", "7x7"])
@pytest.mark.parametrize("name", FAMILIES)
def test_onnx_gives_what_the_model_gives(name: str, dcls: bool, tmp_path: Path) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", name, dcls=dcls)
    exported = export_checkpoint(loaded, tmp_path / "graph.onnx")
    assert exported.parity.eager < TOLERANCE and exported.parity.num_sounds == 4
    backend = load_exported(exported.path)
    assert_parity(loaded, backend.run)
    features = backend.run(noise((2, 64_000)))[1]
    assert features is not None
    with torch.inference_mode():
        wanted = loaded.model.features(torch.from_numpy(noise((2, 64_000)))).numpy()
    np.testing.assert_allclose(features, wanted, atol=1e-4 * np.abs(wanted).max())


def test_openvino_gives_what_the_model_gives(tmp_path: Path) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", "convformer_s18")
    exported = export_checkpoint(loaded, tmp_path / "graph.xml", "openvino")
    assert (tmp_path / "graph.bin").is_file() and exported.num_bytes > 100_000
    backend = load_exported(exported.path)
    assert_parity(loaded, backend.run)
    assert backend.info.labels == LABELS


def test_a_torch_program_holds_torchs_operators_alone(tmp_path: Path) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", "convnext_atto")
    exported = export_checkpoint(loaded, tmp_path / "graph.pt2", "torch-export")
    program = torch.export.load(exported.path, extra_files=(files := {"audio_dcls_graph.json": ""}))
    operators = {str(n.target) for n in program.graph.nodes if isinstance(n.target, torch._ops.OpOverload)}
    assert operators and all(operator.startswith("aten.") for operator in operators)
    module: Any = program.module()
    assert GraphInfo.from_json(files["audio_dcls_graph.json"], "file").min_samples == exported.info.min_samples
    shapes = ((1, exported.info.min_samples), (3, 160_000), (1, 400_123))
    assert_parity(
        loaded, lambda windows: [output.detach().numpy() for output in module(torch.from_numpy(windows))], shapes
    )


def test_weights_fit_a_plain_model_of_timm(tmp_path: Path) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", "convnext_atto")
    exported = export_checkpoint(loaded, tmp_path / "weights.safetensors", "safetensors")
    plain = timm.create_model("convnext_atto", num_classes=len(LABELS), kernel_sizes=23, **NARROW).eval()
    stem: Any = plain.stem
    stem[0] = PatchStem(NARROW["dims"][0], bias=True)
    plain.load_state_dict(safetensors.torch.load_file(exported.path))
    sound = torch.from_numpy(noise((2, 64_000)))
    with torch.inference_mode():
        torch.testing.assert_close(plain(loaded.model.frontend(sound)), loaded.model(sound), atol=1e-4, rtol=1e-4)
    with safetensors.safe_open(exported.path, "pt") as file:
        assert json.loads(file.metadata()["audio_dcls_graph"])["details"]["model"]["name"] == "convnext_atto"
    with pytest.raises(CheckpointError, match="not an audio_dcls checkpoint"):
        load_checkpoint(exported.path)


def test_a_graph_is_valid_of_a_current_opset_and_says_what_it_is(tmp_path: Path) -> None:
    thresholds = {"values": [0.5, None, 0.1, 0.2, 0.3], "split": "val", "clip_id_hash": None}
    loaded = checkpoint(
        tmp_path / "model.safetensors",
        "convnext_atto",
        activation="softmax",
        thresholds=thresholds,
        head_pooling="avgmax",
    )
    exported = export_checkpoint(loaded, tmp_path / "graph.onnx")
    model = onnx.load(exported.path)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 23
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input]
    assert dims == [["batch", "samples"]]
    backend = load_exported(exported.path)
    assert isinstance(backend, OnnxBackend)
    info = backend.info
    assert (info.labels, info.sample_rate_hz, info.clip_samples, info.min_samples) == (
        LABELS,
        32_000,
        320_000,
        SHORTEST,
    )
    assert info.activation == "softmax" and info.details["licence"] == "cc-by-4.0"
    np.testing.assert_array_equal(info.thresholds, [0.5, np.inf, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(backend.run(noise((2, 64_000)))[0].sum(1), 1, atol=1e-6)
    assert backend.run(noise((1, SHORTEST)))[0].shape == (1, 5)
    assert_parity(loaded, backend.run, ((1, 64_000), (2, 90_001)))
    card = exported.card_path.read_text()
    assert "convnext_atto-dcls, 5 classes" in card and 'license: "cc-by-4.0"' in card and "1. B (`b`)" in card
    assert not list(tmp_path.glob(".*"))


def test_eight_bits_are_near_and_smaller(tmp_path: Path) -> None:
    wide = {"overrides": {"depths": [1, 1, 1, 1], "dims": [32, 64, 128, 256]}}
    loaded = checkpoint(tmp_path / "model.safetensors", "fastvit_t8", **wide)
    whole = export_checkpoint(loaded, tmp_path / "whole.safetensors", "safetensors")
    small = export_checkpoint(
        loaded, tmp_path / "small.onnx", int8=True, measure=lambda backend: len(backend.name) / 100
    )
    spectrogram_bytes = 4 * sum(buffer.numel() for buffer in ConvolutionLogMel(loaded.model.frontend).buffers())
    assert small.num_bytes - spectrogram_bytes < 0.6 * whole.num_bytes
    assert TOLERANCE < small.parity.eager < 0.1
    kinds = {node.op_type for node in onnx.load(small.path).graph.node}
    assert "MatMulInteger" in kinds and "ConvInteger" not in kinds
    assert small.scores.keys() == {"checkpoint", "exported"} and "mAP measured" in small.card_path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_backends_of_a_checkpoint_agree_with_torch(backend: BackendName, tmp_path: Path) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", "convnext_atto")
    torchs = TorchBackend(copy.deepcopy(loaded.model), "sigmoid")
    other = build_backend(loaded, backend)
    windows = noise((2, 320_000))
    found, wanted = other.run(windows), torchs.run(windows)
    assert found[1] is not None and wanted[1] is not None
    np.testing.assert_allclose(found[0], wanted[0], atol=TOLERANCE)
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-4 * np.abs(wanted[1]).max())
    assert found[0].dtype == found[1].dtype == np.float32
    tagger = Tagger(other, LABELS, sample_rate_hz=32_000, clip_samples=320_000)
    assert tagger.tag(windows[0], sample_rate_hz=32_000).num_windows == 1


def test_a_graph_that_differs_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", "convnext_atto")
    monkeypatch.setattr("audio_dcls.inference.export.plain_weights.activate", lambda logits, _: logits.sigmoid() + 0.01)
    with pytest.raises(ModelError, match=r"differs from the model by 1\.0e-02"):
        export_checkpoint(loaded, tmp_path / "graph.safetensors", "safetensors")
    assert {file.name for file in tmp_path.iterdir()} == {"model.safetensors"}


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (("graph.xml", "onnx", {}), r"must end with \.onnx"),
        (("graph.onnx", "tflite", {}), "must be one of onnx, openvino"),
        (("graph.xml", "openvino", {"int8": True}), "`int8` works with 'onnx', not with"),
        (("graph.pt2", "torch-export", {"measure": len}), "`measure` works with 'onnx' and 'openvino', not with"),
        (("graph.onnx", "onnx", {"opset": 17}), r"`opset` \(=17\) must be from 18 to 23"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, pattern: str, tmp_path: Path) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", "convnext_atto")
    name, form, options = arguments
    with pytest.raises(ArgumentError, match=pattern):
        export_checkpoint(loaded, tmp_path / name, form, **options)


def test_precisions_a_backend_does_not_have_are_refused(tmp_path: Path) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", "convnext_atto")
    with pytest.raises(ArgumentError, match=r"'fp32' with `backend` \(='onnx'\)"):
        build_backend(loaded, "onnx", precision="bf16")
    with pytest.raises(ArgumentError, match=r"`device` \(='meta'\) must be 'cpu'"):
        build_backend(loaded, "openvino", device="meta")


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", "convnext_atto")

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr("audio_dcls.extras.importlib.import_module", missing)
    with pytest.raises(ArgumentError, match=r"needs onnxruntime, .*audio-dcls\[onnx\]"):
        build_backend(loaded, "onnx")
    with pytest.raises(ArgumentError, match=r"needs openvino, .*audio-dcls\[openvino\]"):
        build_backend(loaded, "openvino")


def test_making_a_graph_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", "fastvit_sa12")
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    WaveformGraph(loaded.model, loaded.activation)
    after = loaded.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert describe(loaded).min_samples == 5120 - 320


@pytest.mark.slow
@pytest.mark.parametrize("dcls", [True, False], ids=["dcls", "7x7"])
@pytest.mark.parametrize("name", PAPER)
def test_the_paper_models_are_exported(name: str, dcls: bool, tmp_path: Path) -> None:
    loaded = checkpoint(tmp_path / "model.safetensors", name, dcls=dcls, overrides={})
    assert_parity(loaded, load_exported(export_checkpoint(loaded, tmp_path / "graph.onnx").path).run)
