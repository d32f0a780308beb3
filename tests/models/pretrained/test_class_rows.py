"""A classifier's rows find the classes they were trained for, in another label set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import AudioTagger, ModelConfig, start_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint

OLD = LabelSet(ids=("/a", "/b", "/c"), names=("A", "B", "C"))
SIZES = {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]}
LAYERS = {"convnext_atto": "head.fc", "convformer_s18": "head.fc.fc2", "fastvit_t8": "head.fc"}


def save(name: str, folder: Path) -> tuple[ModelConfig, AudioTagger]:
    config = ModelConfig(name=name, overrides=SIZES)
    trained = start_tagger(config, FrontendConfig(), 3)
    path = folder / "model.safetensors"
    save_checkpoint(path, trained, model_config=config, frontend_config=FrontendConfig(), labels=OLD, info={})
    return config.model_copy(update={"pretrained": True, "pretrained_file": str(path)}), trained


@pytest.mark.parametrize("name", LAYERS)
def test_rows_of_common_classes_are_kept_by_identifier_and_reported(name: str, tmp_path: Path) -> None:
    config, trained = save(name, tmp_path)
    labels = LabelSet(ids=("/c", "/new", "/a", "/b2"), names=("A", "C", "whatever", "B"))  # names do not count
    model = start_tagger(config, FrontendConfig(), 4, labels)
    layer, report = LAYERS[name], model.pretrained_report
    assert report is not None
    old, new = trained.backbone.get_submodule(layer), model.backbone.get_submodule(layer)
    for part in ("weight", "bias"):
        theirs, ours = getattr(old, part), getattr(new, part)
        assert torch.equal(ours[0], theirs[2]) and torch.equal(ours[2], theirs[0])
    assert not torch.equal(new.weight[1], old.weight[1])
    assert report.kept_classes == ("/c", "/a") and report.new_classes == ("/new", "/b2")
    assert set(report.adapted) >= {f"{layer}.weight", f"{layer}.bias"}
    assert not report.random and not report.has_classifier
    assert "rows of 2 of 4 classes kept" in str(report)
    named = [*report.loaded, *report.adapted, *report.random]
    assert sorted(named) == sorted(model.backbone.state_dict())


def test_the_same_number_of_other_classes_gets_a_new_classifier(tmp_path: Path) -> None:
    config, trained = save("convnext_atto", tmp_path)
    labels = LabelSet(ids=("/x", "/y", "/z"), names=("X", "Y", "Z"))
    model = start_tagger(config, FrontendConfig(), 3, labels)
    report = model.pretrained_report
    assert report is not None and report.kept_classes == ()
    assert set(report.random) == {"head.fc.weight", "head.fc.bias"}
    fresh, old = model.backbone.get_submodule("head.fc").weight, trained.backbone.get_submodule("head.fc").weight
    assert not torch.equal(fresh, old)  # type: ignore[arg-type]
    assert "rows of 0 of 3 classes kept" in str(report)


def test_all_classes_in_another_order_are_a_whole_classifier(tmp_path: Path) -> None:
    config, trained = save("convnext_atto", tmp_path)
    turned = start_tagger(config, FrontendConfig(), 3, OLD.subset(["/b", "/c", "/a"])).eval()
    report = turned.pretrained_report
    assert report is not None and report.has_classifier and not report.new_classes
    same = start_tagger(config, FrontendConfig(), 3, OLD)
    assert same.pretrained_report is not None and same.pretrained_report.kept_classes == ()
    assert not same.pretrained_report.adapted
    sound = torch.randn(2, 41_000)
    with torch.inference_mode():
        torch.testing.assert_close(turned(sound), trained.eval()(sound)[:, [1, 2, 0]])
