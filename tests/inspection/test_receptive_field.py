"""The receptive field by formula is the one found by perturbing inputs; the effective one shrinks with the kernels."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from audio_dcls.dcls import DclsConv2d
from audio_dcls.errors import ArgumentError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inspection.receptive_field import (
    area_share,
    draw_effective_fields,
    effective_field,
    reach_table,
    theoretical_reach,
)
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger

SMALL = {
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
    "convformer_s18": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
    "fastvit_t8": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
}


def all_positive(network: nn.Module) -> nn.Module:
    """Weights and norms under which no two paths cancel, so that what can be seen is seen."""
    network = network.double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "positions" not in name and "spreads" not in name:
                parameter.copy_(parameter.abs() + 0.05)
    return network


def seen_extent(features: nn.Module, cells: Tensor) -> tuple[int, int]:
    """Bands and frames between the first and the last cell that move the middle of a map, by perturbing."""
    maps = features(cells)
    middle = (maps.shape[2] // 2, maps.shape[3] // 2)
    before = maps[0, :, middle[0], middle[1]]
    extents = []
    for axis in (2, 3):
        moved = []
        for place in range(cells.shape[axis]):
            other = cells.clone()
            other.select(axis, place).add_(1.0)
            moved.append(not torch.equal(features(other)[0, :, middle[0], middle[1]], before))
        places = np.flatnonzero(moved)
        extents.append(int(places[-1] - places[0] + 1))
    return extents[0], extents[1]


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_small_network_sees_what_the_formula_says(dilation: int) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, (2, 4), stride=(2, 4)),
        nn.Conv2d(4, 4, (5, 3), padding="same", groups=4, dilation=dilation),
        nn.ReLU(),
        nn.Conv2d(4, 4, 2, stride=2),
        DclsConv2d(4, 4, 9, (3, 5), padding=(1, 2), groups=4, interpolation="gauss"),
    )
    network = all_positive(network)
    cells = torch.rand(1, 1, 61, 95, dtype=torch.float64)
    reach = theoretical_reach(network, lambda name: name == "4")["4"]
    assert seen_extent(network, cells) == reach.size
    assert reach.jump == (4, 8)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dcls", [None, DclsConfig(kernel_size=(9, 9), kernel_count=9)])
def test_backbones_are_traced(name: str, dcls: DclsConfig | None) -> None:
    config = ModelConfig(name=name, overrides=SMALL[name], dcls=dcls)
    backbone = build_tagger(config, FrontendConfig(), 3).backbone.eval()
    found = theoretical_reach(backbone, lambda module: module.startswith("stages.") and module.count(".") == 1)
    stages = list(found.values())
    assert len(stages) == 4
    assert stages[0].jump == (2, 16)
    finite = [reach for reach in stages if np.isfinite(reach.size[0])]
    assert len(finite) >= 3
    sizes = [reach.size[0] for reach in finite]
    assert sizes == sorted(sizes)
    if dcls is not None:
        plain = build_tagger(config.model_copy(update={"dcls": None}), FrontendConfig(), 3).backbone.eval()
        before = theoretical_reach(plain, lambda module: module == "stages.0")["stages.0"]
        assert stages[0].size[0] > before.size[0]


def test_a_convnext_sees_what_the_formula_says() -> None:
    config = ModelConfig(
        name="convnext_atto", overrides=SMALL["convnext_atto"], dcls=DclsConfig(kernel_size=(5, 7), kernel_count=30)
    )
    backbone = build_tagger(config, FrontendConfig(), 3).backbone

    class Norms(nn.Identity):
        """Norms over a map's channels see no further; without them nothing cancels."""

    features = backbone.stages[0]  # type: ignore[index]
    stem = backbone.stem  # type: ignore[union-attr]
    for parent in (stem, features):
        for module in list(parent.modules()):
            for key, child in list(module.named_children()):
                if "Norm" in type(child).__name__:
                    setattr(module, key, Norms())
    network = all_positive(nn.Sequential(stem, features))
    reach = theoretical_reach(network, lambda name: name == "1")["1"]
    assert (
        seen_extent(network, torch.rand(1, 1, 40, 288, dtype=torch.float64)) == reach.size == (2 + 4 * 2, 16 + 6 * 16)
    )


def test_the_effective_field_is_centred_and_shrinks_with_positions_at_zero() -> None:
    torch.manual_seed(0)
    layers = [DclsConv2d(8, 8, 16, (15, 15), padding=7, groups=8) for _ in range(3)]
    network = nn.Sequential(nn.Conv2d(1, 8, 1), *layers).eval()
    cells = torch.randn(4, 1, 63, 63)
    with torch.no_grad():
        for layer in layers:
            layer.positions.uniform_(-7, 7)
    wide = effective_field(network, cells)
    with torch.no_grad():
        for layer in layers:
            layer.positions.zero_()
    narrow = effective_field(network, cells)
    for field in (wide, narrow):
        assert field.sum() == pytest.approx(1)
        rows, columns = np.indices(field.shape)
        assert abs((field * rows).sum() - 31) < 2
        assert abs((field * columns).sum() - 31) < 2
    assert area_share(narrow, 0.9) < 0.2 * area_share(wide, 0.9)


def test_units_and_figures() -> None:
    frontend = FrontendConfig()
    network = nn.Sequential(nn.Conv2d(1, 2, (2, 16), stride=(2, 16)), nn.Conv2d(2, 2, 7, padding=3))
    (row,) = reach_table(theoretical_reach(network, lambda name: name == "1"), frontend)
    assert (row["bands"], row["frames"]) == (14, 112)
    assert row["seconds"] == pytest.approx((111 * 320 + 1024) / 32_000)
    low, middle, high = (
        librosa.hz_to_mel(hz, htk=True) for hz in (row["from_hz_at_1_khz"], 1000, row["to_hz_at_1_khz"])
    )
    step = np.diff(librosa.hz_to_mel([50, 14_000], htk=True)).item() / 129
    assert (high - low) / step == pytest.approx(14)
    assert (low + high) / 2 == pytest.approx(middle)
    field = np.full((128, 1001), 1 / (128 * 1001))
    figure = draw_effective_fields({"DCLS": field, "7x7": field}, frontend, "made")
    assert len(figure.axes) == 3


def test_mistakes_are_named() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ArgumentError, match="Branching"):
        theoretical_reach(Branching(), lambda _: True)
    with pytest.raises(ArgumentError, match=r"`share` \(=0\)"):
        area_share(np.ones((3, 3)), 0)
    with pytest.raises(ArgumentError, match="no cell influences"):
        effective_field(lambda x: 0 * x, torch.ones(1, 1, 5, 5))
