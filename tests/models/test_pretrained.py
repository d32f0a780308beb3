"""Pretrained weights from files written here, since tests have no network."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from audio_dcls.errors import PretrainedError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import AudioTagger, DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.pretrained import choose_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of stock timm models with random weights."""
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for name in ("convnext_atto", "fastvit_sa12"):
        files[name] = folder / f"{name}.safetensors"
        safetensors.torch.save_file(timm.create_model(name).state_dict(), files[name])
    torch.save({"model": safetensors.torch.load_file(files["convnext_atto"])}, folder / "atto.pth")
    return files | {"atto.pth": folder / "atto.pth"}


def load(name: str, file: Path, dcls: DclsConfig | None = None, **keywords: object) -> AudioTagger:
    config = ModelConfig(name=name, pretrained=True, pretrained_file=str(file), dcls=dcls, **keywords)  # type: ignore[arg-type]
    return build_tagger(config, FrontendConfig(), 527)


@pytest.mark.parametrize(
    ("name", "dcls"),
    [
        ("convnext_atto", None),
        ("convnext_atto", DclsConfig()),
        ("fastvit_sa12", DclsConfig()),
        pytest.param("convformer_s18", DclsConfig(), marks=pytest.mark.slow),  # 26 M parameters drawn three times
    ],
)
def test_every_entry_is_loaded_or_accounted_for(
    name: str, dcls: DclsConfig | None, weights: dict[str, Path], tmp_path: Path
) -> None:
    if name not in weights:
        weights = weights | {name: tmp_path / f"{name}.safetensors"}
        safetensors.torch.save_file(timm.create_model(name).state_dict(), weights[name])
    tagger = load(name, weights[name], dcls)
    report, state = tagger.pretrained_report, tagger.backbone.state_dict()
    assert report is not None
    source = safetensors.torch.load_file(weights[name])
    assert sorted([*report.loaded, *report.adapted, *report.random]) == sorted(state)
    assert all(torch.equal(state[key], source[key]) for key in report.loaded)
    assert not report.adapted
    reasons = {"of the new stem", "of the classifier"} | ({"of swapped kernels"} if dcls else set())
    assert set(report.random.values()) == reasons
    swapped = [key for key, reason in report.random.items() if reason == "of swapped kernels"]
    assert {key.rpartition(".")[2] for key in swapped} <= {"weight", "positions", "spreads"}
    assert all(key.startswith(("stem", "head.fc")) or key in swapped for key in report.unused)
    assert str(len(report.loaded)) in str(report)


def test_the_norm_after_the_stem_is_loaded_and_its_convolution_is_not(weights: dict[str, Path]) -> None:
    report = load("convnext_atto", weights["convnext_atto"]).pretrained_report
    assert report is not None
    assert "stem.1.weight" in report.loaded and report.random["stem.0.bias"] == "of the new stem"


def test_a_swapped_layer_keeps_its_pretrained_bias(weights: dict[str, Path]) -> None:
    report = load("convnext_atto", weights["convnext_atto"], DclsConfig()).pretrained_report
    assert report is not None and "stages.0.blocks.0.conv_dw.bias" in report.loaded


def test_linear_and_pointwise_forms_are_adapted(weights: dict[str, Path]) -> None:
    report = load("convnext_atto", weights["convnext_atto"], overrides={"conv_mlp": False}).pretrained_report
    assert report is not None and "stages.0.blocks.0.mlp.fc1.weight" in report.adapted


def test_a_torch_file_is_read_and_random_draws_do_not_depend_on_loading(weights: dict[str, Path]) -> None:
    stems = []
    for config in (ModelConfig(name="convnext_atto"), None):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            tagger = (
                load("convnext_atto", weights["atto.pth"])
                if config is None
                else build_tagger(config, FrontendConfig(), 527)
            )
            stems.append(tagger.backbone.get_submodule("stem.0").weight)
    assert torch.equal(*stems)


def test_the_wrong_file_and_the_wrong_sizes_are_errors(weights: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match="pretrained_file"):
        load("convnext_atto", weights["fastvit_sa12"])
    with pytest.raises(PretrainedError, match="pretrained_file"):
        load("convnext_atto", tmp_path / "absent.safetensors")
    for suffix in ("safetensors", "pth"):
        (tmp_path / f"text.{suffix}").write_text("not weights")
        with pytest.raises(PretrainedError, match="pretrained_file"):
            load("convnext_atto", tmp_path / f"text.{suffix}")
    for overrides in ({"depths": [2, 2, 6, 3]}, {"depths": [1, 2, 6, 2]}):
        with pytest.raises(PretrainedError, match="overrides"):
            load("convnext_atto", weights["convnext_atto"], overrides=overrides)


def test_a_hub_that_cannot_be_reached_names_the_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refuse)
    with pytest.raises(PretrainedError, match=r"`model.pretrained` .*no route to host.*model.pretrained=false"):
        build_tagger(ModelConfig(name="convnext_atto", pretrained=True), FrontendConfig(), 527)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("convnext_tiny", "convnext_tiny.fb_in1k"),
        ("convnext_atto", "convnext_atto.d2_in1k"),
        ("convformer_s18", "convformer_s18.sail_in1k"),
        ("fastvit_sa24", "fastvit_sa24.apple_in1k"),
        ("convnext_nano", "convnext_nano.d1h_in1k"),
        ("convnext_zepto_rms", "convnext_zepto_rms.ra4_e3600_r224_in1k"),
        ("convnext_xlarge", "convnext_xlarge.fb_in22k_ft_in1k"),
        ("convnext_tiny.in12k", "convnext_tiny.in12k"),
    ],
)
def test_weights_trained_on_imagenet_1k_alone_come_first(name: str, chosen: str) -> None:
    assert choose_weights(name) == chosen
