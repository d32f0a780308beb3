"""Kernels, their energy and their spectrum against what is planted and against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audio_dcls.dcls import DclsConv2d
from audio_dcls.errors import ArgumentError
from audio_dcls.inspection.kernels import dense_kernels, draw_energy, draw_kernels, mean_spectrum, radial_energy
from tests.inspection.test_positions import RADIUS, ring


def test_a_ring_has_its_energy_at_its_radius() -> None:
    layer = ring()
    kernels = dense_kernels(layer)
    torch.testing.assert_close(torch.tensor(kernels), layer.dense_kernel()[:, 0].double())
    distances, shares = radial_energy(kernels)
    assert shares.sum() == pytest.approx(1)
    assert shares[np.abs(distances - RADIUS) <= 1].sum() > 0.95


def test_a_single_tap_passes_everything_alike() -> None:
    kernels = np.zeros((3, 7, 9))
    kernels[:, 3, 4] = [1.0, -2.0, 3.0]
    np.testing.assert_allclose(mean_spectrum(kernels, 32), 2.0)
    np.testing.assert_allclose(radial_energy(kernels)[1][0], 1.0)


def test_figures_show_the_channels_that_are_named() -> None:
    layer = ring(channels=4)
    figure = draw_kernels(layer, "stage 1", "made", channels=(0, 3))
    assert [panel.get_title() for panel in figure.axes if panel.images] == ["0", "3"]
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, dense_kernels(layer)[0])
    assert len(draw_energy({"stage 1": layer}, "made").axes) == 3
    with pytest.raises(ArgumentError, match=r"`channels` \(=\(9,\)\)"):
        draw_kernels(layer, "stage 1", "made", channels=(9,))
    with pytest.raises(ArgumentError, match="depthwise"):
        dense_kernels(DclsConv2d(2, 2, 3, 7))
