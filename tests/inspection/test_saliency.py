"""Saliency by captum, on models whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from audio_dcls.errors import ArgumentError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inspection.saliency import (
    draw_saliency,
    grad_cam,
    insertion_and_deletion,
    integrated_gradients,
    last_map_layer,
)
from audio_dcls.models import ModelConfig, build_tagger


class Corner(nn.Module):
    """One logit: the sum of a corner of the cells; another: their sum elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.identity = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.identity.weight)

    def forward(self, cells: Tensor) -> Tensor:
        maps = self.identity(cells)
        corner = maps[:, 0, :4, :6].sum(dim=(1, 2))
        return torch.stack([corner, maps.sum(dim=(1, 2, 3)) - corner], dim=1)


@pytest.fixture
def cells() -> Tensor:
    return torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0)) + 0.1


def test_integrated_gradients_of_a_linear_model_are_weight_times_difference(cells: Tensor) -> None:
    silence = torch.full_like(cells, -1.0)
    found, missing = integrated_gradients(Corner(), cells, silence, 0)
    expected = np.zeros((16, 24))
    expected[:4, :6] = (cells - silence)[0, 0, :4, :6].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert missing < 1e-3


def test_grad_cam_is_where_the_logit_is(cells: Tensor) -> None:
    model = Corner()
    found = grad_cam(model, model.identity, cells, 0)
    assert found.shape == (16, 24)
    assert found.min() >= 0
    assert found.max() > 0


def test_salient_cells_first_make_the_tag_sooner_than_last(cells: Tensor) -> None:
    model, silence = Corner(), torch.zeros_like(cells)
    found, _ = integrated_gradients(model, cells, silence, 0)

    def score(batch: Tensor) -> Tensor:
        return model(batch)[:, 0] / model(cells)[0, 0]

    good = insertion_and_deletion(score, cells, silence, found, 16)
    bad = insertion_and_deletion(score, cells, silence, -found, 16)
    assert good.insertion[0] == good.deletion[-1] == 0
    assert good.insertion[-1] == good.deletion[0] == 1
    assert good.insertion[1] == pytest.approx(1)  # a sixteenth of the cells is the corner
    assert good.insertion_area > 0.9
    assert good.deletion_area < 0.1
    assert bad.insertion_area < 0.1
    assert bad.deletion_area > 0.9


@pytest.mark.parametrize("name", ["convnext_atto", "fastvit_t8", "convformer_s18"])
def test_backbones_have_a_last_map(name: str) -> None:
    overrides = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
    tagger = build_tagger(ModelConfig(name=name, overrides=overrides), FrontendConfig(clip_s=1.5), 3).eval()
    spectrogram = tagger.spectrogram(torch.rand(1, 48_000) - 0.5).detach()
    found = grad_cam(tagger.backbone, last_map_layer(tagger.backbone), spectrogram, 1)
    assert found.shape == tuple(spectrogram.shape[2:])
    assert np.isfinite(found).all()


def test_mistakes(cells: Tensor) -> None:
    model = Corner()
    with pytest.raises(ArgumentError, match=r"class_index. \(=2\) must be 0 to 1"):
        grad_cam(model, model.identity, cells, 2)
    with pytest.raises(ArgumentError, match="saliency"):
        insertion_and_deletion(lambda batch: batch.sum(dim=(1, 2, 3)), cells, cells, np.zeros((3, 3)))
    with pytest.raises(ArgumentError, match="has no stages"):
        last_map_layer(model)


def test_drawn(cells: Tensor) -> None:
    values = np.random.default_rng(0).random((16, 24))
    curves = insertion_and_deletion(lambda batch: batch.sum(dim=(1, 2, 3)), cells, 0 * cells, values)
    figure = draw_saliency(cells[0, 0].numpy(), {"a": values}, {"a": curves}, FrontendConfig(), "title", "facts")
    assert len(figure.axes) == 3
