"""Layer-wise learning rates: equal to timm's for ConvNeXt; positions keep their multiple in all three families."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay

from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import AudioTagger, DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.depths import depths_from_head
from audio_dcls.runs.config import OptimizerConfig
from audio_dcls.training.learning.optim import build_optimizer, build_schedule

DECAY = 0.7
SIZES = {"depths": [1, 2, 2, 1], "dims": [8, 16, 32, 64]}
NAMES = ("convnext_atto", "convformer_s18", "fastvit_t8")
BLOCKS = 6


def tagger(name: str, kernel: int = 9) -> AudioTagger:
    dcls = DclsConfig(kernel_size=(kernel, kernel), kernel_count=3)
    return build_tagger(ModelConfig(name=name, overrides=SIZES, dcls=dcls), FrontendConfig(), 5)


def rates_at(model: AudioTagger, config: OptimizerConfig, step: int) -> dict[str, float]:
    """Each parameter's rate in a step, by name."""
    optimizer = build_optimizer(model, config)
    build_schedule(optimizer, config, num_steps=40, steps_per_epoch=10).step_update(step)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rate_of) == len(list(model.parameters()))
    return {name: rate_of[id(parameter)] for name, parameter in model.backbone.named_parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_positions_keep_their_multiple_at_every_depth(name: str) -> None:
    model = tagger(name)
    config = OptimizerConfig(peak_rate=1e-2, warmup_epochs=1, layer_decay=DECAY)
    depths = depths_from_head(model.backbone)
    moved = {id(t) for layer in dcls_layers(model).values() for t in (layer.positions, layer.spreads)}
    is_moved = {key: id(parameter) in moved for key, parameter in model.backbone.named_parameters()}
    assert sum(is_moved.values()) >= 2 * 2
    for step, share in ((5, 0.5), (10, 1.0)):
        for key, rate in rates_at(model, config, step).items():
            multiple = 5 if is_moved[key] else 1
            assert rate == pytest.approx(share * 1e-2 * multiple * DECAY ** depths[key]), key
    late, end = rates_at(model, config, 30), 1e-6
    for key, rate in late.items():
        peak = 1e-2 * (5 if is_moved[key] else 1)
        cosine = end + 0.5 * (peak - end) * (1 + math.cos(math.pi * 20 / 30))
        assert rate == pytest.approx(cosine * DECAY ** depths[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_depth_grows_by_one_a_block_from_the_classifier_to_the_stem(name: str) -> None:
    depths = depths_from_head(tagger(name).backbone)
    assert {depth for key, depth in depths.items() if key.startswith("stem.")} == {BLOCKS + 1}
    assert {depth for key, depth in depths.items() if not key.startswith(("stem.", "stages."))} == {0}
    order = [(stage, block) for stage, count in enumerate(SIZES["depths"]) for block in range(count)]
    for number, (stage, block) in enumerate(order):
        found = {depth for key, depth in depths.items() if key.startswith(f"stages.{stage}.blocks.{block}.")}
        assert found == {BLOCKS - number}, (stage, block)
    between = {key: depth for key, depth in depths.items() if ".downsample." in key}
    assert between
    for key, depth in between.items():
        assert depth == BLOCKS - order.index((int(key.split(".")[1]), 0)), key


def test_a_convnexts_scales_are_timms() -> None:
    stock = timm.create_model("convnext_atto", depths=(1, 2, 2, 1), dims=(8, 16, 32, 64), in_chans=1, num_classes=5)
    theirs = {id(p): g["lr_scale"] for g in param_groups_layer_decay(stock, layer_decay=DECAY) for p in g["params"]}
    ours = depths_from_head(stock)
    assert ours.keys() == dict(stock.named_parameters()).keys()
    for name, parameter in stock.named_parameters():
        assert DECAY ** ours[name] == pytest.approx(theirs[id(parameter)]), name


def test_without_it_groups_are_as_before() -> None:
    groups = build_optimizer(tagger("convnext_atto"), OptimizerConfig()).param_groups
    assert [group["name"] for group in groups] == ["decayed", "undecayed", "positions"]
    assert not any("lr_scale" in group for group in groups)


def test_the_first_group_is_the_classifiers_at_the_full_rate() -> None:
    model = tagger("fastvit_t8")
    first = build_optimizer(model, OptimizerConfig(layer_decay=DECAY)).param_groups[0]
    assert first["name"] == "decayed-0" and first["lr_scale"] == 1
    weight: torch.nn.Parameter = model.backbone.get_submodule("head.fc").weight  # type: ignore[assignment]
    assert any(parameter is weight for parameter in first["params"])
