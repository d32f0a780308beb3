"""Pretrained weights from files written here, since tests have no network."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from audio_dcls.dcls import DclsConv2d
from audio_dcls.errors import PretrainedError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import AudioTagger, DclsConfig, ModelConfig, start_tagger
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from audio_dcls.models.checkpoint.tensor_file import save_tensors
from audio_dcls.models.pretrained.sources import choose_weights


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
    return start_tagger(config, FrontendConfig(), 527)


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
                else start_tagger(config, FrontendConfig(), 527)
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
        start_tagger(ModelConfig(name="convnext_atto", pretrained=True), FrontendConfig(), 527)


SMALL = ModelConfig(name="fastvit_sa12", overrides={"depths": [1, 1, 2, 1], "dims": [8, 16, 32, 64]})
FULL = DclsConfig(kernel_size=(11, 11), kernel_count=49)


def checkpoint(folder: Path, config: ModelConfig = SMALL, num_classes: int = 3) -> tuple[Path, AudioTagger]:
    """A model as training leaves it: statistics of its own, layer scales that let the blocks speak."""
    tagger = start_tagger(config, FrontendConfig(), num_classes).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in tagger.backbone.state_dict().items():
            if key.endswith("running_mean"):
                tensor.normal_(0, 0.1, generator=generator)
            elif key.endswith(("running_var", "gamma")):
                tensor.uniform_(0.5, 1.5, generator=generator)
    labels = LabelSet(tuple(f"/t/{c}" for c in range(num_classes)), tuple(f"Class {c}" for c in range(num_classes)))
    keywords = {"model_config": config, "frontend_config": FrontendConfig(), "labels": labels, "info": {}}
    folder.mkdir(exist_ok=True)
    save_checkpoint(folder / "model.safetensors", tagger, **keywords)  # type: ignore[arg-type]
    return folder, tagger


def start_from(file: Path, num_classes: int = 3, config: ModelConfig = SMALL, **keywords: object) -> AudioTagger:
    values = {"pretrained": True, "pretrained_file": str(file)} | keywords
    return start_tagger(config.model_copy(update=values), FrontendConfig(), num_classes).eval()


def test_a_model_of_ours_is_loaded_whole(tmp_path: Path) -> None:
    folder, trained = checkpoint(tmp_path / "step-00000001")
    for file in (folder, folder / "model.safetensors"):
        tagger = start_from(file)
        report, state = tagger.pretrained_report, trained.backbone.state_dict()
        assert report is not None and sorted(report.loaded) == sorted(state) and report.has_classifier
        assert all(torch.equal(tensor, state[key]) for key, tensor in tagger.backbone.state_dict().items())
        assert "left random: none" in str(report)


def test_a_classifier_of_other_classes_starts_anew(tmp_path: Path) -> None:
    report = start_from(checkpoint(tmp_path)[0], num_classes=4).pretrained_report
    assert report is not None and not report.has_classifier
    assert report.random == dict.fromkeys(("head.fc.weight", "head.fc.bias"), "of the classifier")
    assert set(report.unused) == {"head.fc.weight", "head.fc.bias"} and "stem.weight" in report.loaded


def test_a_trained_plain_model_is_swapped_with_its_kernels(tmp_path: Path) -> None:
    folder, trained = checkpoint(tmp_path)
    tagger = start_from(folder, dcls=FULL.model_copy(update={"transfer": "fit"}))
    clips = torch.randn(2, 64_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = trained(clips), tagger(clips)
    assert (found - expected).norm() < 0.01 * (expected - expected.mean(0)).norm()
    report, state = tagger.pretrained_report, tagger.backbone.state_dict()
    assert report is not None and tagger.swap_report is not None and tagger.swap_report.transfer == "fit"
    assert sorted([*report.loaded, *report.adapted, *report.fitted, *report.random]) == sorted(state)
    assert set(report.fitted) == {
        f"{e.name}.{part}" for e in tagger.swap_report.plan.entries for part in ("weight", "positions", "spreads")
    }
    assert not report.random and max(report.fitted.values()) < 1e-3 and "fitted" in str(report)
    assert len(tagger.swap_report.plan.groups()) == 2  # the two 32 channels wide; the positional encoding and its stage


def test_by_default_swapped_kernels_stay_random(tmp_path: Path) -> None:
    folder, _ = checkpoint(tmp_path)
    for dcls in (FULL, FULL.model_copy(update={"transfer": "random"})):
        report = start_from(folder, dcls=dcls).pretrained_report
        assert report is not None and not report.fitted and set(report.random.values()) == {"of swapped kernels"}


def test_imagenet_weights_are_fitted_too(weights: dict[str, Path]) -> None:
    tagger = load(
        "convnext_atto", weights["convnext_atto"], DclsConfig(kernel_size=(9, 9), kernel_count=12, transfer="fit")
    )
    source = safetensors.torch.load_file(weights["convnext_atto"])
    layer = tagger.backbone.get_submodule("stages.1.blocks.0.conv_dw")
    assert isinstance(layer, DclsConv2d) and tagger.swap_report is not None and tagger.pretrained_report is not None
    kernel = torch.nn.functional.pad(source["stages.1.blocks.0.conv_dw.weight"], (1, 1, 1, 1))
    error = ((layer.dense_kernel() - kernel).norm() / kernel.norm()).item()
    assert error == pytest.approx(tagger.pretrained_report.fitted["stages.1.blocks.0.conv_dw.weight"], rel=1e-3)
    assert error < 0.7  # white noise, and 12 elements for 49 taps


@pytest.mark.parametrize("transfer", ["random", "fit"])
def test_a_swapped_model_is_taken_as_it_is(transfer: str, tmp_path: Path) -> None:
    swapped = SMALL.model_copy(update={"dcls": DclsConfig(kernel_size=(9, 9), kernel_count=5)})
    folder, trained = checkpoint(tmp_path, swapped)
    tagger = start_from(folder, config=swapped, dcls=swapped.dcls.model_copy(update={"transfer": transfer}))  # type: ignore[union-attr]
    state = trained.backbone.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in tagger.backbone.state_dict().items())
    assert tagger.pretrained_report is not None and not tagger.pretrained_report.random
    # and what it is fitted to is no longer asked for when the checkpoint is used
    save_checkpoint(
        tmp_path / "model.safetensors",
        tagger,
        model_config=swapped.model_copy(update={"dcls": swapped.dcls.model_copy(update={"transfer": transfer})}),  # type: ignore[union-attr]
        frontend_config=FrontendConfig(),
        labels=LabelSet(("/a", "/b", "/c"), ("a", "b", "c")),
        info={},
    )
    assert load_checkpoint(tmp_path / "model.safetensors").model.pretrained_report is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dcls": None}, "`model.dcls` is null"),
        ({"dcls": DclsConfig(kernel_size=(9, 9), kernel_count=6)}, "kernel_count"),
        ({"dcls": DclsConfig(kernel_size=(9, 9), kernel_count=5, interpolation="triangle")}, "interpolation"),
        ({"dcls": DclsConfig(kernel_size=(9, 9), kernel_count=5, share="none")}, "share"),
        ({"name": "fastvit_sa24"}, "holds a fastvit_sa12"),
        ({"overrides": {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]}}, "from the config"),
    ],
)
def test_a_model_of_ours_that_does_not_fit_is_refused(change: dict, named: str, tmp_path: Path) -> None:
    swapped = SMALL.model_copy(update={"dcls": DclsConfig(kernel_size=(9, 9), kernel_count=5)})
    with pytest.raises(PretrainedError, match=named):
        start_from(checkpoint(tmp_path, swapped)[0], config=swapped.model_copy(update=change))


def test_files_of_ours_that_hold_no_model_and_the_authors_dcls_are_refused(
    weights: dict[str, Path], tmp_path: Path
) -> None:
    save_tensors(tmp_path / "state.safetensors", {"a": torch.zeros(1)}, {"kind": "training_state"})
    with pytest.raises(PretrainedError, match=r"training_state.*model\.safetensors next to it"):
        start_from(tmp_path / "state.safetensors")
    with pytest.raises(PretrainedError, match="pretrained_file"):
        start_from(tmp_path)
    state = safetensors.torch.load_file(weights["convnext_atto"])
    names = [key.removesuffix(".weight") for key in state if key.endswith("conv_dw.weight")]
    for name in names:
        state |= {f"{name}.weight": torch.zeros(len(state[f"{name}.weight"]), 1, 26)}
        state |= {f"{name}.{part}": torch.zeros(2, len(state[f"{name}.weight"]), 1, 26) for part in ("P", "SIG")}
    safetensors.torch.save_file(state, tmp_path / "dcls.safetensors")
    with pytest.raises(PretrainedError, match="authors' layout"):
        load("convnext_atto", tmp_path / "dcls.safetensors", DclsConfig(transfer="fit"))


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
