"""Where elements start."""

from __future__ import annotations

import pytest
import torch

from audio_dcls.dcls import DclsConv1d, DclsConv2d, count_outside, share_positions
from audio_dcls.dcls.initialisers import fit_kernels, place_grid, place_normal, place_uniform
from audio_dcls.errors import ArgumentError


def test_random_positions_have_their_distribution_and_repeat_by_seed() -> None:
    layer = DclsConv2d(64, 64, 20, (9, 22), groups=64)
    for place, deviations in ((place_normal, (0.5, 0.5)), (place_uniform, (8 / 12**0.5, 21 / 12**0.5))):
        place(layer, generator=torch.Generator().manual_seed(0))
        first = layer.positions.detach().clone()
        # 1280 draws an axis: the deviation is known to 2 %, 4 standard errors are 8 %.
        for coordinates, deviation in zip(first, deviations, strict=True):
            assert coordinates.std().item() == pytest.approx(deviation, rel=0.08)
        assert count_outside(layer) == 0
        place(layer, generator=torch.Generator().manual_seed(0))
        assert torch.equal(layer.positions, first)
    place_normal(layer, std_taps=100.0)
    assert count_outside(layer) == 0


def test_a_grid_is_even_and_centred() -> None:
    layer = DclsConv2d(2, 2, 9, (9, 15), groups=2)
    place_grid(layer)
    points = sorted(map(tuple, layer.positions[:, 0, 0].T.tolist()))
    assert points == [(row, column) for row in (-3.0, 0.0, 3.0) for column in (-5.0, 0.0, 5.0)]
    line = DclsConv1d(1, 1, 4, 8)
    place_grid(line)
    assert sorted(line.positions.flatten().tolist()) == [-3.5, -1.5, 0.5, 2.5]
    some = DclsConv2d(1, 1, 26, 23)
    place_grid(some)
    assert len(set(map(tuple, some.positions[:, 0, 0].T.tolist()))) == 26


def test_a_kernel_is_reproduced_where_there_are_enough_elements() -> None:
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(3, 1, 3, 5, generator=generator)
    layer = DclsConv2d(3, 3, 15, (9, 7), groups=3, interpolation="bilinear")
    (error,) = fit_kernels([layer], [kernel])
    assert error < 1e-6
    dense = layer.dense_kernel()
    torch.testing.assert_close(dense[:, :, 3:6, 1:6], kernel, rtol=0, atol=1e-5)
    assert dense.abs().sum().item() == pytest.approx(kernel.abs().sum().item(), rel=1e-5)


@pytest.mark.parametrize("form", ["gauss", "triangle", "bilinear"])
def test_shared_layers_are_fitted_together_and_better_than_at_random(form: str) -> None:
    generator = torch.Generator().manual_seed(0)
    layers = [DclsConv2d(4, 4, 26, 11, groups=4, interpolation=form, generator=generator) for _ in range(3)]
    share_positions(layers)
    rows = torch.arange(7.0) - 3
    blob = torch.exp(-(rows[:, None] ** 2 + rows[None] ** 2) / 4)
    kernels = [blob * (1 + 0.1 * torch.randn(4, 1, 7, 7, generator=generator)) for _ in layers]
    errors = fit_kernels(layers, kernels)
    assert max(errors) < (0.35 if form == "gauss" else 0.5)
    for layer, kernel, error in zip(layers, kernels, errors, strict=True):
        padded = torch.nn.functional.pad(kernel, (2, 2, 2, 2))
        found = (layer.dense_kernel() - padded).norm() / padded.norm()
        assert found.item() == pytest.approx(error, rel=1e-3, abs=1e-6)


def test_more_elements_than_taps_and_kernels_that_do_not_fit() -> None:
    layer = DclsConv1d(1, 1, 5, 3, interpolation="bilinear")
    assert fit_kernels([layer], [torch.tensor([[[1.0, 2.0, 3.0]]])])[0] < 1e-6
    with pytest.raises(ArgumentError, match="at most"):
        fit_kernels([layer], [torch.ones(1, 1, 5)])
    with pytest.raises(ArgumentError, match="share"):
        fit_kernels([layer, DclsConv1d(1, 1, 5, 3)], [torch.ones(1, 1, 3)] * 2)
    with pytest.raises(ArgumentError, match="as many"):
        fit_kernels([layer], [])
