"""Elements fitted to trained kernels: exact with enough elements, and close with fewer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from audio_dcls.dcls import DclsConv1d, DclsConv2d, DclsConv3d, fit_kernels, share_positions
from audio_dcls.dcls.interpolation import INTERPOLATIONS
from audio_dcls.errors import ArgumentError


def smooth_kernels(num_layers: int, width: int = 4, taps: int = 7) -> list[Tensor]:
    """Kernels made of a few low frequencies under a bump, similar to trained kernels."""
    generator = torch.Generator().manual_seed(0)
    place = torch.arange(taps) - taps // 2
    waves = torch.stack([torch.cos(math.pi * order * (place + taps / 2) / taps) for order in range(4)])
    bump = torch.exp(-place.square() / 8)
    numbers = torch.randn(num_layers, width, 1, 4, 4, generator=generator)
    return list((waves.T @ numbers @ waves) * bump * bump[:, None])


def shared_layers(num_layers: int, kernel_count: int, width: int = 4, **keywords: object) -> list[DclsConv2d]:
    generator = torch.Generator().manual_seed(0)
    layers = [
        DclsConv2d(width, width, kernel_count, 23, groups=width, generator=generator, **keywords)  # type: ignore[arg-type]
        for _ in range(num_layers)
    ]
    share_positions(layers)
    return layers


def relative_error(layer: DclsConv2d, kernel: Tensor) -> float:
    margin = (layer.dilated_kernel_size[0] - kernel.shape[-1]) // 2
    grown = torch.nn.functional.pad(kernel, (margin,) * 4)
    return float(((layer.dense_kernel() - grown).norm() / grown.norm()).detach())


@pytest.mark.parametrize("form", INTERPOLATIONS)
def test_one_element_per_tap_reproduces_the_kernel(form: str) -> None:
    layers = shared_layers(3, 49, interpolation=form)
    kernels = [torch.randn(4, 1, 7, 7, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    errors = fit_kernels(layers, kernels)
    assert max(errors) < 1e-3
    for layer, kernel, error in zip(layers, kernels, errors, strict=True):
        assert layer.positions is layers[0].positions
        assert relative_error(layer, kernel) == pytest.approx(error, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("form", "bound"), [("gauss", 0.05), ("triangle", 0.06), ("bilinear", 0.12), ("bilinear_floor", 0.12)]
)
def test_half_as_many_elements_as_taps_come_close_and_can_still_move(form: str, bound: float) -> None:
    layers, kernels = shared_layers(3, 26, interpolation=form), smooth_kernels(3)
    errors = fit_kernels(layers, kernels)
    # With an element on each of the K largest taps errors are 0.23 to 0.29 (Gauss), 0.27 to 0.36 (others).
    assert max(errors) < bound
    torch.stack([layer.dense_kernel().square().sum() for layer in layers]).sum().backward()
    gradient = layers[0].positions.grad
    assert gradient is not None and torch.all(gradient != 0)
    assert max(layer.weight.abs().max() for layer in layers) < 5 * max(kernel.abs().max() for kernel in kernels)


def test_gradient_steps_help_and_shared_fits_are_as_the_single_one_for_one_layer() -> None:
    kernels = smooth_kernels(2)
    start, refined = (fit_kernels(shared_layers(2, 20), kernels, num_steps=steps) for steps in (0, 100))
    assert max(refined) < 0.6 * min(start)
    alone = fit_kernels(shared_layers(1, 20), kernels[:1])
    assert alone[0] < refined[0]
    assert alone == fit_kernels([DclsConv2d(4, 4, 20, 23, groups=4)], kernels[:1])


def test_layers_of_very_different_norms_count_alike() -> None:
    kernels = smooth_kernels(2)
    plain = fit_kernels(shared_layers(2, 20), kernels)
    scaled = fit_kernels(shared_layers(2, 20), [kernels[0] * 1e-4, kernels[1] * 1e3])
    assert scaled == pytest.approx(plain, rel=0.01)


def test_spreads_on_a_schedule_stay_as_they_are() -> None:
    layer = DclsConv2d(4, 4, 26, 23, groups=4, learn_spreads=False)
    assert layer.spreads is not None
    before = layer.spreads.clone()
    (error,) = fit_kernels([layer], smooth_kernels(1))
    assert torch.equal(layer.spreads, before) and error < 0.1


def test_one_and_three_axes_even_sizes_and_whole_channels() -> None:
    generator = torch.Generator().manual_seed(0)
    cases = [
        (DclsConv1d(2, 3, 4, 8), torch.randn(3, 2, 4, generator=generator)),
        (DclsConv2d(2, 4, 15, (9, 7), groups=2), torch.randn(4, 1, 3, 5, generator=generator)),
        (DclsConv2d(3, 2, 6, (1, 11)), torch.randn(2, 3, 1, 5, generator=generator)),
        (DclsConv3d(2, 2, 27, (5, 4, 7)), torch.randn(2, 2, 3, 2, 3, generator=generator)),
    ]
    for layer, kernel in cases:
        (error,) = fit_kernels([layer], [kernel])
        assert error < 1e-3, layer
        window = [
            slice(size // 2 - taps // 2, size // 2 - taps // 2 + taps)
            for size, taps in zip(layer.dilated_kernel_size, kernel.shape[2:], strict=True)
        ]
        torch.testing.assert_close(layer.dense_kernel()[(..., *window)], kernel, rtol=0, atol=3e-3)


def test_kernels_of_two_sizes_may_share() -> None:
    layers = shared_layers(2, 49)
    errors = fit_kernels(layers, [smooth_kernels(1)[0], smooth_kernels(1, taps=3)[0]])
    assert max(errors) < 1e-3


def test_narrow_types_and_silent_channels() -> None:
    kernel = smooth_kernels(1)[0]
    kernel[1] = 0
    layer = DclsConv2d(4, 4, 26, 23, groups=4).bfloat16()
    (error,) = fit_kernels([layer], [kernel.bfloat16()])
    assert layer.weight.dtype == torch.bfloat16 and layer.dense_kernel()[1].abs().max() < 1e-6
    assert error < 0.15  # positions near 3 are rounded to 1/128


def test_what_does_not_fit_is_refused() -> None:
    layer = DclsConv1d(1, 1, 5, 3, interpolation="bilinear")
    assert fit_kernels([layer], [torch.tensor([[[1.0, 2.0, 3.0]]])])[0] < 1e-4
    with pytest.raises(ArgumentError, match="at most"):
        fit_kernels([layer], [torch.ones(1, 1, 5)])
    with pytest.raises(ArgumentError, match="share"):
        fit_kernels([layer, DclsConv1d(1, 1, 5, 3)], [torch.ones(1, 1, 3)] * 2)
    with pytest.raises(ArgumentError, match="as many"):
        fit_kernels([layer], [])
    with pytest.raises(ArgumentError, match="num_steps"):
        fit_kernels([layer], [torch.ones(1, 1, 3)], num_steps=-1)
    with pytest.raises(ArgumentError, match="meta"):
        fit_kernels([DclsConv1d(1, 1, 5, 3, device="meta")], [torch.ones(1, 1, 3)])
