"""The inference form: equal logits in whatever order a model is swapped, frozen and reparameterised."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import timm
import torch
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from audio_dcls.dcls import freeze, frozen, plan_swap, unfreeze
from audio_dcls.dcls.conv import DclsConv, DclsConv2d
from audio_dcls.errors import ModelError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import AudioTagger, DclsConfig, ModelConfig, build_tagger, prepare_for_inference, swap_backbone

# T8 has no positional encoding; SA12's last stage has one, before its attention.
T8 = ModelConfig(name="fastvit_t8", overrides={"depths": [1, 1, 2, 1], "dims": [8, 16, 32, 64]})
SA12 = ModelConfig(name="fastvit_sa12", overrides={"depths": [1, 1, 2, 1], "dims": [8, 16, 32, 64]})
DCLS = DclsConfig(kernel_size=(11, 11), kernel_count=7)
# float32: a few times the rounding of sums over the kernel's 121 taps, through some 20 layers
RELATIVE = {torch.float64: 1e-10, torch.float32: 1e-5}


def randomise(model: nn.Module) -> nn.Module:
    """Statistics, scales and kernels as of a trained model, in evaluation mode: no branch is silent or an identity."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key.endswith(("running_var", "gamma")) or (tensor.ndim == 1 and key.endswith("weight")):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif key.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.1, generator=generator)
            elif key.endswith("weight"):
                tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
        for module in model.modules():
            if isinstance(module, DclsConv):
                module.weight.normal_(0, 0.3, generator=generator)
                module.positions.normal_(0, 2, generator=generator)
    return model.eval()


def tagger(config: ModelConfig, dcls: DclsConfig | None = None, dtype: torch.dtype = torch.float64) -> AudioTagger:
    model = build_tagger(config.model_copy(update={"dcls": dcls}), FrontendConfig(), 5)
    randomise(model.backbone)
    return model.eval().to(dtype)


def clips(dtype: torch.dtype = torch.float64) -> Tensor:
    """Noise, and a tone that rises and swells."""
    time_s = torch.arange(41_000) / 32_000
    tone = torch.sin(2 * torch.pi * (300 + 2000 * time_s) * time_s) * time_s
    return torch.stack([torch.randn(41_000, generator=torch.Generator().manual_seed(1)), tone]).to(dtype)


def assert_same(found: Tensor, expected: Tensor, relative: float | None = None) -> None:
    """Differences against how much the logits of two clips differ: what is common to both says nothing."""
    scale = (expected[0] - expected[1]).norm()
    assert scale > 0.1 * expected.norm()
    assert (found - expected).norm() < (RELATIVE[expected.dtype] if relative is None else relative) * scale


def reparam_convs(model: nn.Module) -> list[Any]:
    return [m.reparam_conv for m in model.modules() if hasattr(m, "reparam_conv")]


def norms(model: nn.Module) -> list[str]:
    """Batch norms, but for the one that no convolution precedes, before attention."""
    found = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    return [name for name in found if not name.endswith(".norm")]


@pytest.mark.parametrize("dtype", RELATIVE, ids=str)
@pytest.mark.parametrize("kernel_size", [(11, 11), (9, 13)], ids=str)
@pytest.mark.parametrize("config", [T8, SA12], ids=lambda config: config.name)
@torch.no_grad()
def test_every_order_gives_the_same_logits(
    config: ModelConfig, kernel_size: tuple[int, int], dtype: torch.dtype
) -> None:
    model = tagger(config, DCLS.model_copy(update={"kernel_size": kernel_size}), dtype)
    x = clips(dtype)
    expected = model(x)
    orders = {
        "reparameterise": reparameterize_model(model),
        "freeze, reparameterise": reparameterize_model(freeze(copy.deepcopy(model))),
        "reparameterise, freeze": freeze(reparameterize_model(model)),
        "prepare": prepare_for_inference(copy.deepcopy(model)),
        "freeze, prepare": prepare_for_inference(freeze(copy.deepcopy(model))),
        "reparameterise, prepare": prepare_for_inference(reparameterize_model(model)),
        "prepare twice": prepare_for_inference(prepare_for_inference(copy.deepcopy(model))),
        "prepare, reparameterise": reparameterize_model(prepare_for_inference(copy.deepcopy(model))),
    }
    for order, fused in orders.items():
        assert all(conv is not None for conv in reparam_convs(fused)), order
        assert_same(fused(x), expected)
        if "prepare" in order:
            assert not any(isinstance(m, DclsConv) for m in fused.modules()) and not norms(fused), order
    assert any(isinstance(m, DclsConv) for m in model.modules())  # copies were changed, not the model
    assert_same(model(x), expected, 1e-15)


@pytest.mark.parametrize("dtype", RELATIVE, ids=str)
@pytest.mark.parametrize("config", [T8, SA12], ids=lambda config: config.name)
@torch.no_grad()
def test_plain_models_are_prepared_as_timm_reparameterises_them(config: ModelConfig, dtype: torch.dtype) -> None:
    model = tagger(config, dtype=dtype)
    x = clips(dtype)
    expected = model(x)
    assert_same(reparameterize_model(model)(x), expected)
    prepared = prepare_for_inference(copy.deepcopy(model))
    assert_same(prepared(x), expected)
    assert not norms(prepared)
    assert_same(prepare_for_inference(reparameterize_model(model))(x), expected)


@pytest.mark.parametrize("config", [T8, SA12], ids=lambda config: config.name)
@torch.no_grad()
def test_a_reparameterised_model_is_swapped_with_its_kernels(config: ModelConfig) -> None:
    fused = reparameterize_model(tagger(config))
    x = clips()
    expected = fused(x)
    report = swap_backbone(fused.backbone, DclsConfig(kernel_size=(11, 11), kernel_count=49, transfer="fit"))
    names = [entry.name for entry in report.plan.entries]
    assert ("stages.3.pos_emb.reparam_conv" in names) == (config is SA12) and len(names) == (6 if config is SA12 else 5)
    swapped = fused(x)
    assert_same(swapped, expected, 0.01)  # kernels are fitted to 1e-3
    for again in (freeze, prepare_for_inference, reparameterize_model):
        assert_same(again(copy.deepcopy(fused))(x), swapped)


@pytest.mark.parametrize("rule", ["depthwise", "every"])
@pytest.mark.parametrize("kernel_size", [(9, 9), (7, 11)], ids=str)
@torch.no_grad()
def test_blocks_whose_branches_were_swapped_are_fused_if_square(rule: Any, kernel_size: tuple[int, int]) -> None:
    model = tagger(SA12, DclsConfig(rule=rule, kernel_size=kernel_size, kernel_count=3))
    mixer = model.backbone.get_submodule("stages.0.blocks.0.token_mixer.mixer")
    assert any(isinstance(m, DclsConv) for m in mixer.modules())
    x = clips()
    expected = model(x)
    prepared = prepare_for_inference(copy.deepcopy(model))
    assert_same(prepared(x), expected)
    assert not any(isinstance(m, DclsConv) for m in prepared.modules())
    if kernel_size == (9, 9):
        assert all(conv is not None for conv in reparam_convs(prepared))
        assert_same(reparameterize_model(model)(x), expected)
    else:
        with pytest.raises(ModelError, match="not square"):
            reparameterize_model(model)
        assert prepared.backbone.get_submodule("stages.3.pos_emb").reparam_conv is not None
    assert_same(model(x), expected, 1e-15)


@torch.no_grad()
def test_unfreezing_what_was_fused_is_refused_and_changes_nothing() -> None:
    model = tagger(SA12, DCLS)
    expected = model(clips())
    for fused in (prepare_for_inference(copy.deepcopy(model)), reparameterize_model(freeze(copy.deepcopy(model)))):
        with pytest.raises(ModelError, match=r"fused.*build or load"):
            unfreeze(fused)
        assert_same(fused(clips()), expected)
    with pytest.raises(ModelError, match=r"pos_emb\.reparam_conv"), frozen(model) as same:
        reparameterize_model(same, inplace=True)


@torch.no_grad()
def test_unfreezing_works_where_nothing_dcls_was_fused() -> None:
    model = tagger(T8, DCLS)
    expected = model(clips())
    fused = unfreeze(reparameterize_model(freeze(copy.deepcopy(model))))
    assert any(isinstance(m, DclsConv) for m in fused.modules())
    assert_same(fused(clips()), expected)
    plain = prepare_for_inference(tagger(T8))
    assert unfreeze(plain) is plain


@torch.no_grad()
def test_a_stock_timm_model_swapped_by_hand_is_prepared() -> None:
    model = timm.create_model("fastvit_sa12", num_classes=3, embed_dims=(8, 16, 32, 64), layers=(1, 1, 1, 1))
    plan_swap(model, dilated_kernel_size=(9, 11), kernel_count=4).apply(model)
    randomise(model).double()
    x = torch.randn(2, 3, 96, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = model(x)
    assert_same(prepare_for_inference(model)(x), expected)


@torch.no_grad()
def test_a_prepared_model_is_copied_pickled_and_exported() -> None:
    model = prepare_for_inference(tagger(SA12, DCLS, torch.float32))
    x = clips(torch.float32)
    expected = model(x)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    twin = torch.load(buffer, weights_only=False)
    torch.testing.assert_close(twin(x), expected)
    with pytest.raises(ModelError, match="fused"):
        unfreeze(twin)
    program = torch.export.export(model.backbone, (model.spectrogram(x),))
    assert_same(program.module()(model.spectrogram(x)), expected)


@pytest.mark.parametrize("name", ["convnext_atto", "convformer_s18", "fastvit_sa12"])
@torch.no_grad()
def test_frozen_and_prepared_models_have_the_same_logits_in_float32(name: str) -> None:
    config = ModelConfig(name=name, overrides={"depths": [1, 1, 2, 1], "dims": [8, 16, 32, 64]})
    model = tagger(config, DclsConfig(), torch.float32)
    x = clips(torch.float32)
    expected = model(x)
    assert_same(freeze(copy.deepcopy(model))(x), expected, 1e-6)
    prepared = prepare_for_inference(copy.deepcopy(model))
    assert_same(prepared(x), expected, 1e-6 if "fastvit" not in name else None)
    assert_same(unfreeze(freeze(model))(x), expected, 1e-6)
    assert not any(isinstance(m, DclsConv) for m in prepared.modules())


@pytest.mark.parametrize("name", ["convnext_atto", "fastvit_sa12"])
@torch.no_grad()
def test_layer_scales_are_folded_into_the_weights_before_them(name: str) -> None:
    config = ModelConfig(name=name, overrides={"depths": [1, 1, 2, 1], "dims": [8, 16, 32, 64]})
    model = tagger(config, DCLS)
    scales = [key for key in model.state_dict() if key.endswith("gamma") or "layer_scale" in key]
    assert scales
    x = clips()
    expected = model(x)
    prepared = prepare_for_inference(copy.deepcopy(model))
    assert_same(prepared(x), expected)
    assert not [key for key in prepared.state_dict() if key in scales]
    assert_same(prepare_for_inference(prepared)(x), expected)
    if name == "convnext_atto":
        assert_same(unfreeze(prepared)(x), expected)
    assert_same(model(x), expected, 1e-15)


@torch.no_grad()
def test_a_layer_scale_on_a_swapped_layer_is_folded_and_not_unfrozen() -> None:
    model = tagger(ModelConfig(name="fastvit_t8", overrides=T8.overrides), DCLS)
    block = model.backbone.get_submodule("stages.0.blocks.0")
    mlp: Any = block.mlp
    mlp.fc2 = DclsConv2d(mlp.fc2.in_channels, 8, 2, 3, padding=1).double()
    x = clips()
    expected = model(x)
    prepared = prepare_for_inference(model)
    assert_same(prepared(x), expected)
    with pytest.raises(ModelError, match=r"^6 layers"):  # the large kernels of five blocks, and this one
        unfreeze(prepared)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnext_tiny", "convformer_s18", "fastvit_sa24"])
@torch.no_grad()
def test_the_paper_models_keep_their_logits(name: str) -> None:
    model = tagger(ModelConfig(name=name), DclsConfig(), torch.float32)
    x = clips(torch.float32)
    expected = model(x)
    assert_same(freeze(copy.deepcopy(model))(x), expected, 1e-6)
    assert_same(prepare_for_inference(copy.deepcopy(model))(x), expected)
    double = copy.deepcopy(model).double()
    expected = double(clips())
    assert_same(reparameterize_model(double)(clips()), expected)
    assert_same(prepare_for_inference(double)(clips()), expected)
