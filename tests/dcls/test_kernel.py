"""Dense kernels against a slow loop, closed forms and gradcheck."""

from __future__ import annotations

import itertools

import pytest
import torch
from dcls_loops import slow_kernel
from torch import Tensor

from audio_dcls.dcls.interpolation import INTERPOLATIONS
from audio_dcls.dcls.kernel import construct_kernel
from audio_dcls.errors import ArgumentError

FORMS = list(INTERPOLATIONS)
SIZES = [(7,), (6,), (5, 5), (4, 7), (7, 4), (1, 6), (3, 4, 5), (5, 3, 2)]


def elements(
    size: tuple[int, ...], seed: int, dense_axes: tuple[int, ...] = (), reach: float = 0.4, count: int = 3
) -> tuple[Tensor, Tensor, Tensor]:
    """Random float64 elements of 2 output and 2 input channels, within `reach` of the kernel's size from its centre."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 2, *(size[axis] for axis in dense_axes), count)
    learned = [taps for axis, taps in enumerate(size) if axis not in dense_axes]
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    scale = torch.tensor(learned, dtype=torch.float64).mul(2 * reach).reshape(-1, *(1 for _ in shape))
    positions = (torch.rand(len(learned), *shape, generator=generator, dtype=torch.float64) - 0.5) * scale
    spreads = 0.5 * torch.randn(len(learned), *shape, generator=generator, dtype=torch.float64)
    return weight, positions, spreads


def maybe(spreads: Tensor, form: str) -> Tensor | None:
    return spreads if INTERPOLATIONS[form].has_spreads else None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_kernel_is_that_of_the_slow_loop(form: str, size: tuple[int, ...]) -> None:
    """Positions up to 0.8 of the size from the centre, so some elements are partly or wholly outside."""
    weight, positions, spreads = elements(size, seed=len(size), reach=0.8)
    expected = slow_kernel(weight, positions, maybe(spreads, form), size, form)
    kernel = construct_kernel(weight, positions, maybe(spreads, form), size, form)
    torch.testing.assert_close(kernel, expected, rtol=0, atol=1e-12)
    single = construct_kernel(
        weight.float(), positions.float(), None if maybe(spreads, form) is None else spreads.float(), size, form
    )
    # float32 positions carry 1e-7 of rounding, which a slope of 1/spread turns into a few 1e-6 of the kernel.
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("size", "dense_axes"),
    [((3, 5), (0,)), ((5, 3), (1,)), ((1, 6), (0,)), ((6, 1), (1,)), ((2, 3, 5), (0, 1)), ((2, 4, 3), (1,))],
    ids=str,
)
def test_dense_axes_are_those_of_the_slow_loop(form: str, size: tuple[int, ...], dense_axes: tuple[int, ...]) -> None:
    weight, positions, spreads = elements(size, seed=7, dense_axes=dense_axes)
    expected = slow_kernel(weight, positions, maybe(spreads, form), size, form, dense_axes)
    kernel = construct_kernel(weight, positions, maybe(spreads, form), size, form, dense_axes)
    torch.testing.assert_close(kernel, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(5,), (4, 3), (3, 2, 4)], ids=str)
def test_gradients_by_finite_differences(form: str, size: tuple[int, ...]) -> None:
    weight, positions, spreads = elements(size, seed=3, count=2)
    inputs = [weight, positions] + ([spreads] if INTERPOLATIONS[form].has_spreads else [])
    inputs = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(
        lambda *tensors: construct_kernel(tensors[0], tensors[1], (*tensors, None)[2], size, form), inputs
    )


@pytest.mark.parametrize("form", FORMS)
def test_kernel_sums_to_the_weights(form: str) -> None:
    weight, positions, spreads = elements((9, 12), seed=1, reach=0.2)
    kernel = construct_kernel(weight, positions, maybe(spreads, form), (9, 12), form)
    # The 1e-7 added to each normaliser, of at least 0.2 here.
    torch.testing.assert_close(kernel.sum((-2, -1)), weight.sum(-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("form", "axis"), list(itertools.product(FORMS, (0, 1))))
def test_moving_by_one_tap_shifts_the_kernel_by_one_tap(form: str, axis: int) -> None:
    """Positions along axis d move the kernel along axis d."""
    size = (25, 22)
    weight, positions, spreads = elements(size, seed=2, reach=0.1)
    before = construct_kernel(weight, positions, maybe(spreads, form), size, form)
    positions[axis] += 1
    after = construct_kernel(weight, positions, maybe(spreads, form), size, form)
    # A Gaussian has no end: its part beyond the edge 8 taps away is below 1e-12.
    torch.testing.assert_close(after, before.roll(1, dims=2 + axis), rtol=0, atol=1e-12)


def test_integer_bilinear_positions_are_a_sparse_kernel() -> None:
    weight = torch.tensor([[[2.0, -1.0]]])
    positions = torch.tensor([[[[-1.0, 1.0]]], [[[0.0, 2.0]]]])
    expected = torch.zeros(1, 1, 3, 5)
    expected[0, 0, 0, 2], expected[0, 0, 2, 4] = 2.0, -1.0
    for form in ("bilinear", "bilinear_floor"):
        torch.testing.assert_close(construct_kernel(weight, positions, None, (3, 5), form), expected)


def test_kernel_is_built_in_float32_under_autocast_and_for_half_parameters() -> None:
    weight, positions, spreads = (tensor.float() for tensor in elements((11, 11), seed=5))
    expected = construct_kernel(weight, positions, spreads, (11, 11))
    with torch.autocast("cpu", torch.bfloat16):
        under = construct_kernel(weight, positions, spreads, (11, 11))
    assert torch.equal(under, expected)
    half = [tensor.bfloat16() for tensor in (weight, positions, spreads)]
    built = construct_kernel(*half, (11, 11))
    again = construct_kernel(*(tensor.float() for tensor in half), (11, 11))
    assert built.dtype == torch.bfloat16
    assert torch.equal(built, again.bfloat16())


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"interpolation": "linear"}, ["interpolation", "'linear'", "gauss"]),
        ({"dense_axes": (2,)}, ["dense_axes", "(2,)"]),
        ({"dense_axes": (0, 1)}, ["dense_axes", "learn"]),
        ({"dilated_kernel_size": (0, 3)}, ["dilated_kernel_size", "(0, 3)"]),
        ({"spreads": None}, ["spreads", "None"]),
        ({"positions": torch.zeros(1, 2, 2, 3)}, ["positions", "(1, 2, 2, 3)", "(2, 2, 2, 3)"]),
        ({"weight": torch.zeros(2, 3)}, ["weight", "(2, 3)"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_errors_quote_the_argument(changes: dict[str, object], names: list[str]) -> None:
    weight, positions, spreads = elements((3, 3), seed=0)
    arguments: dict[str, object] = {
        "weight": weight,
        "positions": positions,
        "spreads": spreads,
        "dilated_kernel_size": (3, 3),
    }
    with pytest.raises(ArgumentError) as error:
        construct_kernel(**(arguments | changes))  # pyright: ignore[reportArgumentType]
    assert all(name in str(error.value) for name in names), error.value
