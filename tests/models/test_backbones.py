"""The adapted backbones: stem, maps, names, overrides."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from audio_dcls.errors import ArgumentError, ModelError
from audio_dcls.models import FAMILIES, PatchStem, build_backbone, find_family, member_names, stage_maps

SMALL = {
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 12, 16, 20]},
    "convformer_s18": {"depths": [1, 1, 1, 1], "dims": [8, 12, 16, 20]},
    "fastvit_sa12": {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]},
}


@pytest.mark.parametrize("name", SMALL)
def test_stage_maps_halve_and_are_channels_last(name: str) -> None:
    backbone = build_backbone(name, 5, overrides=SMALL[name]).eval()
    with torch.no_grad():
        maps = stage_maps(backbone, torch.randn(1, 1, 128, 1001))
    # ConvNeXt halves without padding (62, 31, 15, 7); the other two pad, so odd sizes round up
    last = [(16, 15), (8, 7)] if name.startswith("convnext") else [(16, 16), (8, 8)]
    assert [tuple(m.shape[2:]) for m in maps] == [(64, 62), (32, 31), *last]
    assert [m.shape[1] for m in maps] == SMALL[name]["dims"]
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in maps)


@pytest.mark.parametrize(("num_mels", "num_frames"), [(128, 1001), (65, 47), (2, 16)])
def test_the_stem_is_the_strided_convolution(num_mels: int, num_frames: int) -> None:
    stem = PatchStem(6, bias=True).double()
    nn.init.normal_(stem.bias)
    x = torch.randn(2, 1, num_mels, num_frames, dtype=torch.float64)
    torch.testing.assert_close(stem(x), F.conv2d(x, stem.weight, stem.bias, stride=(2, 16)))


def test_stem_weights_are_truncated_normal() -> None:
    stem = PatchStem(1024, bias=True)
    assert stem.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert torch.all(stem.bias == 0)


@pytest.mark.parametrize("name", SMALL)
def test_each_family_keeps_its_own_norm_after_the_stem(name: str) -> None:
    stem = build_backbone(name, 5, overrides=SMALL[name]).get_submodule("stem")
    shapes = {key: tuple(value.shape) for key, value in stem.state_dict().items()}
    expected = {
        "ConvNeXt": {"0.weight": (8, 1, 2, 16), "0.bias": (8,), "1.weight": (8,), "1.bias": (8,)},
        "ConvFormer": {"conv.weight": (8, 1, 2, 16), "norm.weight": (8,)},
        "FastViT": {"weight": (8, 1, 2, 16)},
    }
    assert shapes == expected[find_family(name).title]


def test_everything_but_stem_and_head_is_as_timm_has_it() -> None:
    ours = {k: v.shape for k, v in build_backbone("convnext_atto", 5).state_dict().items()}
    theirs = {k: v.shape for k, v in timm.create_model("convnext_atto").state_dict().items()}
    different = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert different == {"stem.0.weight", "head.fc.weight", "head.fc.bias"}


def test_keywords_reach_timm() -> None:
    backbone = build_backbone(
        "convnext_atto",
        5,
        drop_path_rate=0.3,
        head_dropout=0.2,
        layer_scale_init=0.5,
        head_pooling="max",
        overrides={"depths": [1, 1, 2, 1]},
    )
    rates = [m.drop_prob for m in backbone.modules() if type(m).__name__ == "DropPath"]
    assert rates == pytest.approx([0.075, 0.15, 0.225, 0.3])  # linear over depth; the first block never drops
    assert torch.all(backbone.get_submodule("stages.0.blocks.0").gamma == 0.5)
    assert backbone.get_submodule("head.drop").p == 0.2
    assert backbone.get_submodule("head.global_pool").pool_type == "max"


@pytest.mark.parametrize("name", ["convformer_s18", "convformer_b36"])
def test_convformers_of_other_sizes_are_of_the_same_build(name: str) -> None:
    with torch.device("meta"):
        named = build_backbone(name, 5)
        rebuilt = build_backbone(name, 5, overrides={"depths": [len(s.blocks) for s in named.stages]})
    assert str(rebuilt) == str(named)


@pytest.mark.parametrize("name", ["convformer_s18", "fastvit_t8"])
def test_layer_scale_reaches_the_other_families(name: str) -> None:
    overrides = {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}
    backbone = build_backbone(name, 5, layer_scale_init=0.25, overrides=overrides)
    scales = [p for key, p in backbone.named_parameters() if "layer_scale" in key]
    assert scales and all(torch.all(scale == 0.25) for scale in scales)


def test_members() -> None:
    names = {family.title: member_names(family) for family in FAMILIES}
    assert "convnext_atto" in names["ConvNeXt"] and "fastvit_sa24" in names["FastViT"]
    assert not any(name.startswith("convnextv2") for name in names["ConvNeXt"])


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("convnext_tinny", "convnext_tiny"),
        ("fastvit_sa25", "fastvit_sa24"),
        ("resnet50", "ConvNeXt .*ConvFormer .*FastViT"),
        ("convnextv2_tiny", "ConvNeXt .*ConvFormer .*FastViT"),
        ("caformer_s18", "ConvNeXt .*ConvFormer .*FastViT"),
        ("qqq", "models list"),
    ],
)
def test_other_names_are_refused(name: str, named: str) -> None:
    with pytest.raises(ModelError, match=named):
        build_backbone(name, 5)


@pytest.mark.parametrize(
    ("name", "overrides", "named"),
    [
        ("convnext_atto", {"depth": [1, 1, 1, 1]}, "did you mean 'depths'"),
        ("convnext_atto", {"zzz": 1}, "ConvNeXt takes: "),
        ("convnext_atto", {"depths": [1, 1, 1]}, "4 integers"),
        ("convnext_atto", {"dims": [8, 8, 8, 0]}, "4 integers"),
        ("fastvit_sa12", {"dims": [8, 16, 24, 48]}, "multiple of the one before"),
        ("fastvit_sa12", {"dims": [8, 8, 8, 8]}, "do not fit"),
    ],
)
def test_bad_overrides_are_refused(name: str, overrides: dict, named: str) -> None:
    with pytest.raises(ModelError, match=named):
        build_backbone(name, 5, overrides=overrides)


def test_no_classes_are_refused() -> None:
    with pytest.raises(ArgumentError, match="num_classes"):
        build_backbone("convnext_atto", 0)
