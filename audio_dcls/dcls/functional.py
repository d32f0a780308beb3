"""DCLS convolution as a function of tensors, in one to three dimensions.

Axis legend: B batch, O output channels, I input channels of a group, K elements, M learned axes, S_a taps of axis a,
T_a input length along axis a, D.. dense axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_dcls.dcls.depthwise.operator import depthwise_conv
from audio_dcls.dcls.kernel import construct_kernel
from audio_dcls.errors import ArgumentError


def dcls_conv(
    x: Tensor,
    weight: Tensor,
    positions: Tensor,
    spreads: Tensor | None,
    dilated_kernel_size: Sequence[int],
    bias: Tensor | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    groups: int = 1,
    interpolation: str = "gauss",
    padding_mode: str = "zeros",
    dense_axes: Sequence[int] = (),
) -> Tensor:
    """Build a kernel from its elements and convolve with it; the length of `dilated_kernel_size` sets the dimension.

    Args:
        x: input.
        weight, positions, spreads, interpolation, dense_axes: as in `construct_kernel`.
        dilated_kernel_size: taps along every axis, one to three of them.
        bias: one constant per output channel, (O,), or None.
        stride, padding, groups, padding_mode: as in `DclsConv`.

    Shape:
        x (B, I * groups, T_0, ..), weight (O, I, D.., K), positions and spreads (M, O, I, D.., K) -> (B, O, T_0', ..)

    Raises:
        ArgumentError: a shape, axis or name breaks its rule.

    >>> import torch
    >>> x, weight, positions = torch.ones(1, 1, 5), torch.ones(1, 1, 1), torch.zeros(1, 1, 1, 1)
    >>> dcls_conv(x, weight, positions, None, (3,), padding=1, interpolation="bilinear_floor").tolist()
    [[[1.0, 1.0, 1.0, 1.0, 1.0]]]
    """
    kernel = construct_kernel(weight, positions, spreads, dilated_kernel_size, interpolation, dense_axes)
    return convolve(x, kernel, bias, stride, padding, groups, padding_mode)


def convolve(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int] | str,
    groups: int,
    padding_mode: str,
) -> Tensor:
    """Convolve x (B, C, T_0, ..) with a dense kernel (O, I, S_0, ..) by the fastest method, giving (B, O, T_0', ..)."""
    if not isinstance(x, Tensor):
        raise ArgumentError(f"`x` (a {type(x).__name__}) must be a torch.Tensor")
    num_axes = kernel.ndim - 2
    if not 1 <= num_axes <= 3:
        raise ArgumentError(f"`dilated_kernel_size` (={tuple(kernel.shape[2:])}) must have one to three axes")
    if padding_mode != "zeros":
        x, padding = F.pad(x, _padding_of_both_sides(padding, kernel.shape[2:]), mode=padding_mode), 0
    is_depthwise = groups == kernel.shape[0] and kernel.shape[1] == 1
    _check_room(x, kernel, padding)
    if num_axes == 2 and is_depthwise:
        return depthwise_conv(x, kernel, bias, stride, padding)
    plain: Callable[..., Tensor] = (F.conv1d, F.conv2d, F.conv3d)[num_axes - 1]
    return plain(x, kernel, bias, stride, padding, 1, groups)


def _check_room(x: Tensor, kernel: Tensor, padding: int | Sequence[int] | str) -> None:
    """Check that a map with its padding is at least as large as the kernel."""
    num_axes = kernel.ndim - 2
    if isinstance(padding, str) or x.ndim < num_axes or torch.compiler.is_compiling():
        return
    pads = (padding,) * num_axes if isinstance(padding, int) else tuple(padding)
    sizes = tuple(x.shape[-num_axes:])
    if any(size + 2 * pad < taps for size, pad, taps in zip(sizes, pads, kernel.shape[2:], strict=True)):
        raise ArgumentError(
            f"`x` (with maps of {sizes} and padding {pads}) must be at least as large as the kernel "
            f"{tuple(kernel.shape[2:])}; pad it more, or use a smaller kernel"
        )


def _padding_of_both_sides(padding: int | Sequence[int] | str, kernel_size: Sequence[int]) -> list[int]:
    """The padding as `F.pad` takes it: near and far side of each axis, last axis first; "same" is split as in torch."""
    if padding == "same":
        sides = [((taps - 1) // 2, taps // 2) for taps in kernel_size]
    elif padding == "valid":
        sides = [(0, 0)] * len(kernel_size)
    elif isinstance(padding, str):
        raise ArgumentError(f"`padding` (={padding!r}) must be a number of taps along each axis, 'same' or 'valid'")
    elif isinstance(padding, int):
        sides = [(padding, padding)] * len(kernel_size)
    else:
        sides = [(taps, taps) for taps in padding]
    return [taps for near_far in reversed(sides) for taps in near_far]
