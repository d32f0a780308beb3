"""A loaded model takes its weights from the mapped file, and is what was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import AudioTagger, DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint

LABELS = LabelSet(("/t/a", "/t/b", "/t/c"), ("A", "B", "C"))
NAMES = ("convnext_atto", "convformer_s18", "fastvit_sa12")


def saved(path: Path, name: str, *, with_dcls: bool = True, dtype: torch.dtype = torch.float32) -> AudioTagger:
    """A narrow model with random weights, and its file."""
    torch.manual_seed(0)
    dcls = DclsConfig(kernel_size=(7, 7), kernel_count=5) if with_dcls else None
    config = ModelConfig(name=name, overrides={"depths": [2, 2, 2, 1], "dims": [8, 16, 32, 64]}, dcls=dcls)
    model = build_tagger(config, FrontendConfig(), len(LABELS)).eval()
    model.backbone.to(dtype)
    save_checkpoint(path, model, model_config=config, frontend_config=FrontendConfig(), labels=LABELS, info={})
    return model


def num_distinct(model: torch.nn.Module, part: str) -> int:
    tensors: Any = model.state_dict(keep_vars=True)
    return len({id(tensor) for name, tensor in tensors.items() if part in name})


@pytest.mark.parametrize("with_dcls", [True, False], ids=["dcls", "plain"])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_loaded_model_is_the_one_saved(name: str, with_dcls: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = saved(path, name, with_dcls=with_dcls)
    loaded = load_checkpoint(path).model
    clips = torch.randn(2, 41_000, generator=torch.Generator().manual_seed(1)) / 10
    torch.testing.assert_close(loaded(clips), model(clips), rtol=0, atol=1e-6)  # sums may go in another order
    wanted, found = model.state_dict(keep_vars=True), loaded.state_dict(keep_vars=True)
    assert wanted.keys() == found.keys()
    for key, tensor in found.items():
        assert torch.equal(tensor, wanted[key]) and tensor.requires_grad == wanted[key].requires_grad, key
    for module in loaded.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
    assert not any(tensor.is_meta for tensor in (*loaded.parameters(), *loaded.buffers()))
    assert num_distinct(loaded, "positions") == num_distinct(model, "positions")
    assert num_distinct(model, "positions") == (4 if with_dcls else 0) or "convnext" not in name


def test_loading_draws_no_random_number(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    saved(path, NAMES[0])
    before = torch.get_rng_state()
    load_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), before)


@torch.no_grad()
def test_changing_a_loaded_model_leaves_its_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    saved(path, NAMES[0])
    content = path.read_bytes()
    for weight in load_checkpoint(path).model.parameters():
        weight.add_(1)
    assert path.read_bytes() == content
    load_checkpoint(path)


def test_a_loaded_model_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = saved(path, NAMES[0])
    loaded = load_checkpoint(path).model
    path.unlink()
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[key])


def test_weights_of_another_type_are_read_as_the_models(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    half = saved(path, NAMES[0], dtype=torch.bfloat16)
    loaded = load_checkpoint(path).model
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, half.state_dict()[key].to(tensor.dtype)), key
