"""Every family of the registry keeps the contract of `Family`: a new one is tested by being listed there."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from audio_dcls.errors import ModelError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger, prepare_for_inference
from audio_dcls.models.depths import depths_from_head
from audio_dcls.models.families import CLASSIFIER, FAMILIES, Family, find_family, member_names
from audio_dcls.models.stem import PatchStem

SIZES = {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]}
FRONTEND = FrontendConfig()


def sizes(family: Family) -> dict[str, list[int]]:
    """Small sizes; none for a family whose sizes cannot be overridden."""
    return SIZES if set(SIZES) <= set(family.argument_names) else {}


def has_paper_layers(family: Family) -> bool:
    """True if the model has a depthwise 7x7 convolution of stride 1, which the rule `paper` swaps."""
    backbone = build_tagger(ModelConfig(name=member(family), overrides=sizes(family)), FRONTEND, 5).backbone
    convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    return any(c.groups == c.in_channels > 1 and c.kernel_size == (7, 7) and c.stride == (1, 1) for c in convolutions)


def member(family: Family) -> str:
    return family.authors_layout.member if family.authors_layout is not None else member_names(family)[0]


@pytest.fixture(params=FAMILIES, ids=lambda family: family.title)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.mark.parametrize("dcls", [None, DclsConfig(kernel_size=(9, 9), kernel_count=5)], ids=["plain", "dcls"])
def test_a_member_of_other_sizes_tags_and_stays_the_same_in_its_inference_form(
    family: Family, dcls: DclsConfig | None
) -> None:
    torch.manual_seed(0)
    config = ModelConfig(name=member(family), overrides=sizes(family), dcls=dcls)
    if dcls is not None and not has_paper_layers(family):
        with pytest.raises(ModelError, match="matches no layer"):
            build_tagger(config, FRONTEND, 5)
        return
    tagger = build_tagger(config, FRONTEND, 5).eval()
    clips = torch.randn(2, FRONTEND.clip_samples)
    with torch.no_grad():
        expected = tagger(clips)
        features = tagger.features(clips)
        assert expected.shape == (2, 5) and len(features) == 2
        torch.testing.assert_close(tagger.backbone.get_classifier()(features), expected)  # type: ignore[operator]
        prepared = prepare_for_inference(copy.deepcopy(tagger))
        torch.testing.assert_close(prepared(clips), expected, rtol=1e-4, atol=1e-5)


def test_a_backbone_has_the_parts_that_other_modules_read(family: Family) -> None:
    backbone = build_tagger(ModelConfig(name=member(family), overrides=sizes(family)), FRONTEND, 5).backbone
    assert isinstance(backbone.get_submodule(family.stem_convolution), PatchStem)
    assert len(list(backbone.get_submodule("stages").children())) == 4
    widths = [stage["num_chs"] for stage in backbone.feature_info]  # type: ignore[union-attr]
    assert len(widths) == 4 and widths == sizes(family).get("dims", widths)
    assert any(isinstance(module, nn.Linear) for module in backbone.get_submodule(CLASSIFIER).modules())
    if sizes(family):
        assert max(depths_from_head(backbone).values()) == sum(SIZES["depths"]) + 1


def test_every_member_is_found_by_its_name_and_by_no_other_family(family: Family) -> None:
    names = member_names(family)
    assert names and all(find_family(name) is family and timm.is_model(name) for name in names)


def test_a_model_of_no_family_is_refused() -> None:
    with pytest.raises(ModelError, match=r"`model\.name` \(='resnet50'\) must be a member of one of the families Conv"):
        find_family("resnet50")
