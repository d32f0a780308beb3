"""Effective batch = processes x clips x accumulation, checked before anything is trained."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from audio_dcls.errors import ConfigError
from audio_dcls.models import build_tagger
from audio_dcls.runs.config import TrainConfig
from audio_dcls.settings import build, merge
from audio_dcls.training.distributed import batch_layout
from audio_dcls.training.distributed.batch_layout import (
    build_layout,
    check_one_step,
    find_per_device_batch,
    possible_batches,
)


def config(**loop: Any) -> TrainConfig:
    return build(TrainConfig, {"loop": {"effective_batch": 64, "per_device_batch": 16, **loop},
                               "augment": {"mixup_group_clips": 8}}, "test")  # fmt: skip


@pytest.mark.parametrize(("num_processes", "accumulation"), [(1, 4), (2, 2), (4, 1)])
def test_the_parts_make_up_the_effective_batch(num_processes: int, accumulation: int) -> None:
    layout = build_layout(config(), num_processes)
    assert (layout.per_device_batch, layout.accumulation, layout.effective_batch) == (16, accumulation, 64)


def test_the_papers_batch_on_its_machines() -> None:
    assert str(build_layout(TrainConfig(), 32)) == "4096 clips per step = 32 processes x 128 clips x 1 accumulated"


def test_a_layout_that_does_not_divide_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"effective_batch` \(=64\).*8 processes x .*\(=16\).*that fit: 8"):
        build_layout(config(), 8)
    with pytest.raises(ConfigError, match=r"effective_batch` \(=64\).*number of processes \(=3\).*change it to 63"):
        build_layout(config(), 3)


def test_possible_batches_split_no_mixup_group() -> None:
    mixed = build(TrainConfig, {"loop": {"effective_batch": 48, "per_device_batch": "auto"},
                                "augment": {"mixup_group_clips": 8}}, "test")  # fmt: skip
    assert possible_batches(mixed, 1) == [48, 24, 16, 8]
    assert possible_batches(mixed, 2) == [24, 8]


@pytest.fixture
def tiny(tiny_values: dict[str, Any]) -> tuple[TrainConfig, Any]:
    values = merge(tiny_values, {"loop": {"effective_batch": 64, "per_device_batch": "auto"}})
    tiny_config = build(TrainConfig, merge(values, {"model": {"name": "fastvit_t8", "layer_scale_init": None}}), "test")
    return tiny_config, build_tagger(tiny_config.model, tiny_config.frontend, 3)


def test_auto_finds_what_fits_the_memory(tiny: tuple[TrainConfig, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_config, model = tiny
    fabric = Fabric(accelerator="cpu", devices=1)
    before, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert find_per_device_batch(fabric, model, tiny_config, 3) == 64

    def with_free(mib: int) -> int:
        free = type("Memory", (), {"available": mib * 2**20})
        monkeypatch.setattr(batch_layout.psutil, "virtual_memory", lambda: free)
        return find_per_device_batch(fabric, model, tiny_config, 3)

    assert with_free(1000) > with_free(30) > with_free(12)
    with pytest.raises(ConfigError, match="not even 4 clips"):
        with_free(1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(p.grad is None for p in model.parameters())


def test_fewer_clips_than_a_step_takes_are_refused_by_the_configs_key() -> None:
    config = TrainConfig()
    check_one_step(config, config.loop.effective_batch)
    with pytest.raises(ConfigError, match=r"`loop.effective_batch` \(=4096\) must be at most .* clips \(=4095\)"):
        check_one_step(config, 4095)
