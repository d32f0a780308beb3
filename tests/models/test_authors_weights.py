"""The authors' files, written here from their DCLS layers and timm's original names."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from authors_models import authors_model, authors_state
from typer.testing import CliRunner

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.errors import CheckpointError, ConfigError
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig
from audio_dcls.models.authors_weights import read_authors_weights, read_state
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.conversion import convert_checkpoint, convert_tagger
from audio_dcls_cli.commands.checkpoint import app

TOLERANCE = 1e-4
"""What the issue asks of logits; sums in another order differ by some 1e-6."""

SMALL: dict[str, dict[str, Any]] = {
    "convnext_tiny": {"depths": (1, 2, 1, 1), "dims": (8, 16, 24, 32)},
    "convformer_s18": {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)},
    "fastvit_sa24": {"depths": (1, 1, 2, 1), "dims": (8, 16, 32, 64)},
}
PUBLISHED = [
    ("convformer_s18", False, 241),
    ("convformer_s18", True, 277),
    ("fastvit_sa24", True, 900),
    ("convnext_tiny", True, 218),
]
"""The four files, with the number of their entries."""


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def training_file(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """A file as the authors' training leaves it."""
    options = argparse.Namespace(model="convnext_dcls_audio_tiny", lr=4e-3, drop_path=0.4)
    torch.save(
        {"model": state, "optimizer": {"state": {}}, "epoch": 59, "scaler": {"scale": 1.0}, "args": options}, path
    )
    return path


def check_equal_logits(model: torch.nn.Module, converted: torch.nn.Module, num_frames: int) -> None:
    """Equal logits, and such that they would tell if the axes of the positions were exchanged."""
    spectrograms = torch.randn(2, 1, 128, num_frames, generator=generator())
    positions = {id(m.positions): m.positions for m in converted.modules() if isinstance(m, DclsConv)}
    with torch.no_grad():
        theirs, ours = model(spectrograms), converted(spectrograms)
        assert torch.allclose(theirs, ours, rtol=0, atol=TOLERANCE)
        for shared in positions.values():
            shared.copy_(shared.flip(0))
        if positions:
            assert (converted(spectrograms) - theirs).abs().max() > 10 * TOLERANCE


@pytest.mark.parametrize(("name", "swapped", "num_entries"), PUBLISHED)
def test_narrow_models_load_whole_and_score_as_theirs(
    name: str, swapped: bool, num_entries: int, tmp_path: Path
) -> None:
    model = authors_model(name, generator(), swapped=swapped, num_classes=5, **SMALL[name])
    state = authors_state(model, name)
    labels = LabelSet(tuple("abcde"), tuple("ABCDE"))
    converted = convert_tagger(training_file(tmp_path / "theirs.pth", state), labels=labels)
    assert converted.num_entries == len(state)
    assert tuple(converted.model_config.overrides["dims"]) == SMALL[name]["dims"]
    check_equal_logits(model, converted.tagger.backbone, 401)


@pytest.mark.slow  # 25 M parameters, and the authors' layers evaluate every tap of every element
@pytest.mark.parametrize(("name", "swapped", "num_entries"), PUBLISHED)
def test_the_published_files_load_whole_and_score_as_theirs(
    name: str, swapped: bool, num_entries: int, tmp_path: Path
) -> None:
    model = authors_model(name, generator(), swapped=swapped)
    state = authors_state(model, name)
    assert len(state) == num_entries
    torch.save(state, tmp_path / "theirs.pth")
    convert_checkpoint(tmp_path / "theirs.pth", tmp_path / "ours.safetensors")
    loaded = load_checkpoint(tmp_path / "ours.safetensors")
    assert loaded.labels == LabelSet.audioset()
    config = loaded.model.swap_plan
    groups = [] if config is None else [len(names) for names in config.groups().values()]
    assert groups == ([] if not swapped else [4, 4, 12, 5] if name == "fastvit_sa24" else [3, 3, 9, 3])
    check_equal_logits(model, loaded.model.backbone, 1001)


@pytest.mark.parametrize(
    ("interpolation", "version"), [("triangle", "max"), ("bilinear", "v1"), ("bilinear_floor", "v0")]
)
def test_every_interpolation_keeps_its_axes(interpolation: Any, version: str, tmp_path: Path) -> None:
    sizes = SMALL["convnext_tiny"] | {"kernel_size": 9, "kernel_count": 6, "version": version}
    model = authors_model("convnext_tiny", generator(), swapped=True, num_classes=527, **sizes)
    path = training_file(tmp_path / "theirs.pth", authors_state(model, "convnext_tiny"))
    with pytest.raises(CheckpointError, match=r"6 elements per kernel, not 26 .*give the size and the interpolation"):
        convert_tagger(path)
    converted = convert_tagger(path, dcls=DclsConfig(kernel_size=(9, 9), interpolation=interpolation))
    assert converted.model_config.dcls is not None and converted.model_config.dcls.kernel_count == 6
    check_equal_logits(model, converted.tagger.backbone, 401)


def test_the_command_takes_what_a_file_cannot_tell(tmp_path: Path) -> None:
    sizes = SMALL["convnext_tiny"] | {"kernel_size": 17, "kernel_count": 34, "version": "v1"}
    model = authors_model("convnext_tiny", generator(), swapped=True, **sizes)
    path = training_file(tmp_path / "theirs.pth", authors_state(model, "convnext_tiny"))
    arguments = ["convert", str(path), "--out", str(tmp_path / "ours.safetensors")]
    kernels = ["--kernel-size", "17", "--interpolation", "bilinear", "--licence", "MIT"]
    result = CliRunner().invoke(app, arguments + kernels, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    loaded = load_checkpoint(tmp_path / "ours.safetensors")
    assert loaded.info["licence"] == "MIT"
    check_equal_logits(model, loaded.model.backbone, 401)
    with pytest.raises(ConfigError, match=r"--kernel-size and --interpolation.*'cubic'"):
        CliRunner().invoke(app, [*arguments, "--replace", "--interpolation", "cubic"], catch_exceptions=False)


@pytest.fixture(scope="module")
def small_state() -> dict[str, torch.Tensor]:
    model = authors_model("convnext_tiny", generator(), swapped=True, **SMALL["convnext_tiny"])
    return authors_state(model, "convnext_tiny")


def test_a_checkpoint_of_ours_keeps_what_is_known_of_the_file(
    small_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    safetensors.torch.save_file({key: value.clone() for key, value in small_state.items()}, tmp_path / "a.safetensors")
    convert_checkpoint(tmp_path / "a.safetensors", tmp_path / "ours" / "model.safetensors", info={"licence": "MIT"})
    loaded = load_checkpoint(tmp_path / "ours" / "model.safetensors")
    assert loaded.info["licence"] == "MIT" and loaded.info["converted_from"]["file"] == "a.safetensors"
    layers = [layer for layer in loaded.model.modules() if isinstance(layer, DclsConv)]
    assert layers[1].positions is layers[2].positions


def test_a_payload_is_refused_and_does_not_run(small_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": small_state, "args": Payload()}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match=r"need '(posix|nt)\.mkdir' to be run.*nothing was run"):
        read_state(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_files_of_older_torch_are_read(small_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    options = argparse.Namespace(lr=4e-3)
    torch.save({"model": small_state, "args": options}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    state = read_state(tmp_path / "a.pth")
    assert state.keys() == small_state.keys()
    assert all(torch.equal(state[key], small_state[key]) for key in state)


def test_damaged_files_are_refused(small_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    whole = training_file(tmp_path / "whole.pth", small_state).read_bytes()
    for name, content in {"cut.pth": whole[: len(whole) // 2], "text.pth": b"not weights", "empty.pth": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"{name}.*(copy or download them again)"):
            read_state(tmp_path / name)
    (tmp_path / "text.safetensors").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="copy or download them again"):
        read_state(tmp_path / "text.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="no named tensors"):
        read_state(tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="check the path"):
        read_state(tmp_path / "absent.pth")


def test_what_does_not_fit_is_named(small_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    def convert(state: dict[str, torch.Tensor], **options: Any) -> None:
        torch.save(state, tmp_path / "a.pth")
        convert_tagger(tmp_path / "a.pth", **options)

    without = {key: value for key, value in small_state.items() if key != "stages.1.0.gamma"}
    with pytest.raises(CheckpointError, match=r"stages\.1\.blocks\.0\.gamma is missing"):
        convert(without)
    with pytest.raises(CheckpointError, match=r"extra\.bias is left over"):
        convert(small_state | {"extra.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"conv_dw\.P.*missing"):
        convert({key: value for key, value in small_state.items() if key != "stages.1.1.dwconv.P"})
    parted = small_state | {"stages.1.1.dwconv.P": small_state["stages.1.1.dwconv.P"] + 1}
    with pytest.raises(CheckpointError, match=r"blocks\.1\.conv_dw\.positions differs from .*blocks\.0\.conv_dw"):
        convert(parted)
    convert(parted, dcls=DclsConfig(share="none"))
    with pytest.raises(CheckpointError, match="have 527 classes, but the labels have 2"):
        convert(small_state, labels=LabelSet(("a", "b"), ("A", "B")))
    with pytest.raises(CheckpointError, match=r"not in the authors' naming.*stem\.0"):
        convert({"stem.0.weight": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"have no 'head\.weight'"):
        convert({key: value for key, value in small_state.items() if key != "head.weight"})


def test_weights_of_images_are_told_apart(small_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(small_state | {"downsample_layers.0.0.weight": torch.zeros(8, 3, 4, 4)}, tmp_path / "image.pth")
    assert not read_authors_weights(tmp_path / "image.pth").is_tagger
    with pytest.raises(CheckpointError, match="are of an image model"):
        convert_tagger(tmp_path / "image.pth")
