"""The authors' files as the start of a training: `model.pretrained_file`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from authors_models import authors_model, authors_state

from audio_dcls.errors import PretrainedError
from audio_dcls.files import CACHE_VARIABLE
from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import AudioTagger, DclsConfig, ModelConfig, start_tagger

NARROW: dict[str, Any] = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def start_from(
    file: str | Path, name: str, num_classes: int, labels: LabelSet | None = None, **options: Any
) -> AudioTagger:
    config = ModelConfig(name=name, pretrained=True, pretrained_file=str(file), **options)
    return start_tagger(config, FrontendConfig(), num_classes, labels)


def image_file(path: Path, name: str) -> tuple[Path, dict[str, torch.Tensor]]:
    """A swapped model of three channels and 1000 classes, as the authors' ImageNet training leaves it."""
    state = authors_state(authors_model(name, generator(), swapped=True, num_classes=1000, audio=False), name)
    torch.save({"model": state}, path)
    return path, state


@pytest.mark.parametrize("name", ["convnext_atto", pytest.param("convnext_tiny", marks=pytest.mark.slow)])
def test_kernels_of_images_are_loaded_and_stem_and_classifier_are_not(name: str, tmp_path: Path) -> None:
    file, state = image_file(tmp_path / "imagenet.pth", name)
    tagger = start_from(file, name, 7, dcls=DclsConfig())
    report, ours = tagger.pretrained_report, tagger.backbone.state_dict()
    assert report is not None
    assert set(report.random.values()) == {"of the new stem", "of the classifier"}
    assert sorted([*report.loaded, *report.random]) == sorted(ours)
    assert len(report.loaded) == len(state) - 4
    positions = ours["stages.1.blocks.1.conv_dw.positions"]
    theirs = state["stages.1.1.dwconv.P"].reshape(positions.shape)
    assert torch.equal(positions[0], theirs[1]) and torch.equal(positions[1], theirs[0])
    assert torch.equal(ours["head.norm.weight"], state["norm.weight"])


def test_a_tagger_of_theirs_gives_stem_and_the_rows_of_known_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = authors_state(authors_model("convformer_s18", generator(), swapped=True, **NARROW), "convformer_s18")
    torch.save(state, tmp_path / "tagger.pth")
    audioset = LabelSet.audioset()
    labels = LabelSet((audioset.ids[9], "new"), (audioset.names[9], "New"))
    overrides = {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}
    options: dict[str, Any] = {"overrides": overrides, "dcls": DclsConfig()}
    tagger = start_from(tmp_path / "tagger.pth", "convformer_s18", 2, labels, **options)
    report, ours = tagger.pretrained_report, tagger.backbone.state_dict()
    assert report is not None and not report.random and report.kept_classes == (audioset.ids[9],)
    assert torch.equal(ours["head.fc.fc2.weight"][0], state["head.fc2.weight"][9])
    assert torch.equal(ours["stem.conv.weight"], state["downsample_layers.0.conv.weight"])

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    place = tmp_path / "weights" / "8370979" / "convformer_dcls_audio_s18.pth"
    place.parent.mkdir(parents=True)
    (tmp_path / "tagger.pth").rename(place)
    named = start_from("convformer_s18-dcls", "convformer_s18", 2, labels, **options).backbone.state_dict()
    assert all(torch.equal(named[key], ours[key]) for key in ours if key != "head.fc.fc2.weight")
    assert torch.equal(named["head.fc.fc2.weight"][0], ours["head.fc.fc2.weight"][0])


def test_what_does_not_go_together_is_named(tmp_path: Path) -> None:
    file, _ = image_file(tmp_path / "imagenet.pth", "convnext_atto")
    with pytest.raises(PretrainedError, match=r"holds a model with DCLS, but `model.dcls` is null"):
        start_from(file, "convnext_atto", 7)
    with pytest.raises(PretrainedError, match=r"`model.dcls.kernel_count` \(=5\) must be 26"):
        start_from(file, "convnext_atto", 7, dcls=DclsConfig(kernel_count=5))
    with pytest.raises(PretrainedError, match=r"holds a ConvNeXt, but `model.name` is 'fastvit_t8'"):
        start_from(file, "fastvit_t8", 7, dcls=DclsConfig())
    torch.save({"model": torch.load(file)["model"], "args": Path(tmp_path)}, tmp_path / "asks.pth")
    with pytest.raises(PretrainedError, match=r"pretrained_file.*need 'pathlib\..*nothing was run"):
        start_from(tmp_path / "asks.pth", "convnext_atto", 7, dcls=DclsConfig())
    with pytest.raises(PretrainedError, match=r"pretrained_file.*do not fit a ConvNeXt"):
        start_from(file, "convnext_femto", 7, dcls=DclsConfig())
