"""The whole tagger: the paper's six models, hooks, autocast, reproducibility."""

from __future__ import annotations

import copy

import pytest
import torch

from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d
from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.dcls.swap.plan import count_parameters
from audio_dcls.errors import ConfigError, ModelError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.settings import build

PAPER_MILLIONS = {"convnext_tiny": 28.2, "convformer_s18": 25.8, "fastvit_sa24": 21.1}
PAPER_GROUPS = {"convnext_tiny": [3, 3, 9, 3], "convformer_s18": [3, 3, 9, 3], "fastvit_sa24": [4, 4, 12, 5]}
SMALL_FASTVIT = ModelConfig(
    name="fastvit_sa12",
    overrides={"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]},
    dcls=DclsConfig(kernel_size=(9, 9), kernel_count=4),
)
SMALL = ModelConfig(
    name="convnext_atto",
    overrides={"depths": [1, 1, 2, 1], "dims": [8, 12, 16, 20]},
    dcls=DclsConfig(kernel_size=(9, 11), kernel_count=4),
)


@pytest.mark.parametrize("name", PAPER_MILLIONS)
def test_paper_models_train_and_have_no_more_parameters(name: str) -> None:
    clip = torch.randn(1, 41_000)  # 129 frames: maps of 64x8 and below keep the test short; the slow one takes 10 s
    counts = {}
    for dcls in (None, DclsConfig()):
        tagger = build_tagger(ModelConfig(name=name, dcls=dcls), FrontendConfig(), num_classes=527)
        logits = tagger(clip)
        assert logits.shape == (1, 527) and logits.isfinite().all()
        logits.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in tagger.parameters())
        counts[dcls is not None] = count_parameters(tagger)
        if tagger.swap_plan is not None:
            assert [len(names) for names in tagger.swap_plan.groups().values()] == PAPER_GROUPS[name]
            assert len(tagger.swap_plan.entries) == sum(PAPER_GROUPS[name])
    assert counts[True] <= counts[False]
    assert round(counts[False] / 1e6, 1) <= PAPER_MILLIONS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER_MILLIONS)
def test_paper_models_take_a_whole_clip(name: str) -> None:
    tagger = build_tagger(ModelConfig(name=name, dcls=DclsConfig()), FrontendConfig(), num_classes=527)
    tagger(torch.randn(1, 320_000)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in tagger.parameters())


@pytest.mark.parametrize("name", PAPER_MILLIONS)
def test_the_stage_rule_gives_the_same_groups_on_the_paper_models(name: str) -> None:
    with torch.device("meta"):
        by_stage = build_tagger(ModelConfig(name=name, dcls=DclsConfig(share="stage")), FrontendConfig(), 527)
    assert by_stage.swap_plan is not None
    assert [len(names) for names in by_stage.swap_plan.groups().values()] == PAPER_GROUPS[name]


def test_convformer_layers_are_twice_as_wide_as_their_stage() -> None:
    with torch.device("meta"):
        plan = build_tagger(ModelConfig(name="convformer_s18", dcls=DclsConfig()), FrontendConfig(), 527).swap_plan
    assert plan is not None and sorted({entry.width for entry in plan.entries}) == [128, 256, 640, 1024]


def test_hooks_see_power_and_mel_in_order() -> None:
    tagger = build_tagger(SMALL, FrontendConfig(), 3).eval()
    clips = torch.randn(2, 64_000)
    seen = {}

    def on_power(power: torch.Tensor) -> torch.Tensor:
        seen["power"] = tuple(power.shape)
        return power

    def on_mel(mel: torch.Tensor) -> torch.Tensor:
        seen["mel"] = tuple(mel.shape)
        return mel.flip(0)

    logits = tagger(clips, on_power, on_mel)
    assert seen == {"power": (2, 513, 201), "mel": (2, 1, 128, 201)}
    torch.testing.assert_close(logits, tagger(clips).flip(0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["convnext_atto", "convformer_s18", "fastvit_sa12"])
def test_features_are_what_the_classifier_sees(name: str) -> None:
    overrides = {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]}
    tagger = build_tagger(ModelConfig(name=name, overrides=overrides), FrontendConfig(), 3).eval()
    clips = torch.randn(2, 64_000)
    features = tagger.features(clips)
    assert features.ndim == 2
    torch.testing.assert_close(tagger.backbone.get_submodule("head.fc")(features), tagger(clips))


def test_autocast_and_bfloat16_run() -> None:
    tagger = build_tagger(SMALL, FrontendConfig(), 3).eval()
    clips = torch.randn(2, 64_000)
    expected = tagger(clips)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(tagger(clips).float(), expected, atol=0.05, rtol=0.05)  # 8 bits of mantissa
    assert copy.deepcopy(tagger).bfloat16()(clips).dtype == torch.bfloat16


def test_the_global_seed_decides_the_weights() -> None:
    def build_one() -> dict[str, torch.Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return build_tagger(SMALL, FrontendConfig(), 3).state_dict()

    first, second = build_one(), build_one()
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_fast_depthwise_changes_neither_names_nor_results() -> None:
    plain_config = SMALL.model_copy(update={"dcls": None, "fast_depthwise": False})
    plain = build_tagger(plain_config, FrontendConfig(), 3)
    fast = build_tagger(plain_config.model_copy(update={"fast_depthwise": True}), FrontendConfig(), 3)
    assert sum(isinstance(m, DepthwiseConv2d) for m in fast.modules()) == 5
    fast.load_state_dict(plain.state_dict())
    clips = torch.randn(2, 64_000)
    torch.testing.assert_close(fast(clips), plain(clips))
    fast(clips).square().sum().backward()
    plain(clips).square().sum().backward()
    for (name, ours), theirs in zip(fast.named_parameters(), plain.parameters(), strict=True):
        # two float32 summation orders over up to 64 x 12 positions
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-3, msg=name)


def test_small_depthwise_kernels_stay_torch_own() -> None:
    tagger = build_tagger(SMALL_FASTVIT, FrontendConfig(), 3)
    assert not any(isinstance(m, DepthwiseConv2d) for m in tagger.modules())


def test_clips_too_short_for_convnext_are_refused() -> None:
    with pytest.raises(ModelError, match="clip_s"):
        build_tagger(SMALL, FrontendConfig(clip_s=1.0), 3)
    logits = build_tagger(SMALL_FASTVIT, FrontendConfig(clip_s=1.0), 3).eval()(torch.randn(1, 32_000))
    assert logits.shape == (1, 3)


@pytest.mark.parametrize(
    "values",
    [{"dcls": {"kernel": 3}}, {"dcls": {"kernel_size": [0, 3]}}, {"drop_path_rate": 1.0}, {"dcls": {"share": "all"}}],
)
def test_bad_configs_are_refused(values: dict) -> None:
    with pytest.raises(ConfigError):
        build(ModelConfig, values, "test")


def test_weight_std_scales_the_elements_and_nothing_else() -> None:
    layers = []
    for weight_std in (0.02, 0.05):
        torch.manual_seed(0)
        config = ModelConfig(name="convnext_atto", dcls=DclsConfig(weight_std=weight_std))
        layers.append(list(dcls_layers(build_tagger(config, FrontendConfig(), 5)).values()))
    for narrow, wide in zip(*layers, strict=True):
        torch.testing.assert_close(wide.weight, 2.5 * narrow.weight)
        assert torch.equal(wide.positions, narrow.positions)


@pytest.mark.parametrize("share", ["width", "none"])
def test_position_std_spreads_the_elements_of_every_kernel_once(share: str) -> None:
    layers = []
    for position_std in (0.5, 2.0):
        torch.manual_seed(0)
        config = ModelConfig(name="convnext_atto", dcls=DclsConfig(position_std=position_std, share=share))
        layers.append(list(dcls_layers(build_tagger(config, FrontendConfig(), 5)).values()))
    for narrow, wide in zip(*layers, strict=True):
        torch.testing.assert_close(wide.positions, 4 * narrow.positions)
        assert torch.equal(wide.weight, narrow.weight)
