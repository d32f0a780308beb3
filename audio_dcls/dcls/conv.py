"""Convolutions whose elements have learned positions: DclsConv1d, DclsConv2d, DclsConv3d.

Axis legend: B batch, O output channels, I input channels of a group, K elements, M learned axes, S_a taps of axis a,
T_a input length along axis a, D.. dense axes.

A DCLS convolution has few weights and a large kernel: K elements, each with a weight, a position and a spread, make a
dense kernel (`kernel.py`), which an ordinary convolution applies (Khalfaoui-Hassani, Pellegrini, Masquelier, "Dilated
Convolution with Learnable Spacings", ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from audio_dcls.dcls.arguments import Size, check_counts, check_padding, check_random, is_transformed, per_axis
from audio_dcls.dcls.factor_cache import FactorCache
from audio_dcls.dcls.functional import convolve
from audio_dcls.dcls.gradients import build_factors, build_kernel, rebuild_in_backward
from audio_dcls.dcls.interpolation import Interpolation, find_interpolation
from audio_dcls.dcls.kernel import (
    axis_factors,
    check_dense_axes,
    combine_factors,
    discrete_kernel,
    order_axes,
)
from audio_dcls.errors import ArgumentError

POSITION_STD = 0.5
WEIGHT_STD = 0.02


class DclsConv(nn.Module):
    """A convolution over `num_axes` axes with learned element positions; use one of its three subclasses.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_count: elements per kernel; with dense axes, elements per tap of the dense axes.
        dilated_kernel_size: taps of the dense kernel along every axis.
        stride: taps between outputs.
        padding: taps added on both sides, or "same" for an output as long as the input (stride 1 only; with an even
            kernel torch adds the extra tap on the far side).
        groups: blocks of channels that do not mix; equal to both channel counts it makes a depthwise convolution.
        bias: True learns a constant per output channel.
        interpolation: "gauss", "triangle", "bilinear" or "bilinear_floor".
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        dense_axes: axes along which every tap has its own elements instead of learned positions. A dense axis of
            one tap makes the kernel flat.
        learn_spreads: False keeps the spreads in a buffer, which a schedule sets.
        generator: source of the initial values.
        device: device of the parameters.
        dtype: floating-point type of the parameters.

    Attributes:
        weight: (O, I, D.., K).
        positions: (M, O, I, D.., K); `positions[m]` is along learned axis m, in taps from the centre `size // 2`.
        spreads: (M, O, I, D.., K) in taps, or None for the bilinear forms.
        bias: (O,) or None.

    Shape:
        (B, in_channels, T_0, ..) -> (B, out_channels, (T_0 + 2 padding - S_0) // stride + 1, ..)

    Raises:
        ArgumentError: an argument breaks its rule.

    >>> layer = DclsConv2d(8, 8, kernel_count=5, dilated_kernel_size=(7, 9), padding=(3, 4), groups=8)
    >>> tuple(layer(torch.zeros(2, 8, 16, 20)).shape), tuple(layer.dense_kernel().shape)
    ((2, 8, 16, 20), (8, 1, 7, 9))
    """

    num_axes: ClassVar[int]
    spreads: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_count: int,
        dilated_kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        groups: int = 1,
        bias: bool = True,
        interpolation: str = "gauss",
        *,
        padding_mode: str = "zeros",
        dense_axes: Sequence[int] = (),
        learn_spreads: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_count, self.groups = check_counts(
            in_channels, out_channels, kernel_count, groups
        )
        self.dilated_kernel_size = per_axis("dilated_kernel_size", dilated_kernel_size, self.num_axes, 1)
        self.stride = per_axis("stride", stride, self.num_axes, 1)
        self.padding = padding if isinstance(padding, str) else per_axis("padding", padding, self.num_axes, 0)
        if self.padding == "valid":
            self.padding = (0,) * self.num_axes
        check_random(dtype, generator)
        self.padding_mode = padding_mode
        self.dilation = (1,) * self.num_axes
        self.interpolation = find_interpolation(interpolation).name
        self.dense_axes = check_dense_axes(dense_axes, self.num_axes)
        check_padding(self.padding, padding_mode, self.stride)
        dense_size = (self.dilated_kernel_size[axis] for axis in self.dense_axes)
        shape = (*self._kernel_channels(), *dense_size, kernel_count)
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(shape, **options))
        self.positions = nn.Parameter(torch.empty((len(self.learned_axes), *shape), **options))
        if not self.form.has_spreads:
            self.register_parameter("spreads", None)
        elif learn_spreads:
            self.spreads = nn.Parameter(torch.empty_like(self.positions))
        else:
            self.register_buffer("spreads", torch.empty_like(self.positions, requires_grad=False))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels, **options)) if bias else None)
        self.factor_cache: FactorCache | None = None
        self.reset_parameters(generator)

    @property
    def form(self) -> Interpolation:
        """The interpolation as an object."""
        return find_interpolation(self.interpolation)

    @property
    def learned_axes(self) -> tuple[int, ...]:
        """The axes along which positions are learned, in the order of `positions`."""
        return tuple(axis for axis in range(self.num_axes) if axis not in self.dense_axes)

    @property
    def learned_size(self) -> tuple[int, ...]:
        """Taps along each learned axis."""
        return tuple(self.dilated_kernel_size[axis] for axis in self.learned_axes)

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Taps of the dense kernel, under the name that torch's convolutions use."""
        return self.dilated_kernel_size

    @property
    def is_depthwise(self) -> bool:
        """True if every channel has its own kernel and channels do not mix."""
        return self.groups == self.in_channels == self.out_channels

    def _kernel_channels(self) -> tuple[int, int]:
        """The first two axes of the kernel."""
        return self.out_channels, self.in_channels // self.groups

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw initial values: positions normal (0.5 taps, within the kernel), weights normal (0.02), bias 0."""
        with torch.no_grad():
            self.weight.normal_(0, WEIGHT_STD, generator=generator)
            for coordinates, taps in zip(self.positions, self.learned_size, strict=True):
                coordinates.normal_(0, POSITION_STD, generator=generator).clamp_(-(taps // 2), taps // 2)
            if self.spreads is not None:
                self.spreads.fill_(self.form.initial_spread)
            if self.bias is not None:
                self.bias.zero_()

    def dense_kernel(self) -> Tensor:
        """The dense kernel, differentiable; it is built in at least float32, also under autocast.

        Shape:
            (O, I, S_0, .., S_{N-1})
        """
        form, sizes = self.form, self.learned_size
        tensors = (self.positions,) if self.spreads is None else (self.positions, self.spreads)

        def build(weight: Tensor, positions: Tensor, spreads: Tensor | None = None) -> Tensor:
            return build_kernel(weight, build_factors(positions, spreads, sizes, form))

        if not self._uses_written_gradients():
            kernel = combine_factors(self.weight, axis_factors(self.positions, self.spreads, sizes, form))
        elif self.factor_cache is None:
            kernel = rebuild_in_backward(build, self.weight, *tensors)
        else:
            factors = self.factor_cache.factors(self, self.positions, self.spreads, sizes, form)
            kernel = build_kernel(self.weight, factors)
        return order_axes(kernel, self.num_axes, self.dense_axes)

    def _uses_written_gradients(self) -> bool:
        """True if the written-out derivatives of `gradients.py` may be used.

        Compilers, `torch.func` and parametrisations get the plain operations instead, which they can trace.
        """
        if torch.compiler.is_compiling() or is_transformed():
            return False
        return type(self.positions) is nn.Parameter and type(self.weight) is nn.Parameter

    def to_discrete(self) -> Tensor:
        """The sparse kernel with every element on its nearest tap, whatever its spread; see `discrete_kernel`.

        Shape:
            (O, I, S_0, .., S_{N-1})
        """
        return discrete_kernel(self.weight, self.positions, self.dilated_kernel_size, self.dense_axes)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the convolution; the class documents the shapes."""
        return convolve(x, self.dense_kernel(), self.bias, self.stride, self.padding, self.groups, self.padding_mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DclsConv:
        shared = self.positions, self.spreads
        super()._apply(fn, recurse)
        self._keep_shared(*shared)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        shared = self.positions, self.spreads
        super()._load_from_state_dict(*args, **kwargs)
        self._keep_shared(*shared)

    def _keep_shared(self, positions: Tensor, spreads: Tensor | None) -> None:
        """Keep positions shared when torch replaces a parameter (`to_empty`, `load_state_dict(assign=True)`)."""
        if self.factor_cache is None:
            return
        if self.positions is not positions:
            self.positions = self.factor_cache.converted(positions, self.positions)
        if spreads is not None and self.spreads is not None and self.spreads is not spreads:
            self.spreads = self.factor_cache.converted(spreads, self.spreads)

    def extra_repr(self) -> str:
        """One line with the arguments that differ from the defaults."""
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_count={self.kernel_count}",
            f"dilated_kernel_size={self.dilated_kernel_size}, stride={self.stride}, padding={self.padding!r}",
            f"groups={self.groups}, bias={self.bias is not None}, interpolation={self.interpolation!r}",
        ]
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode!r}")
        if self.dense_axes:
            parts.append(f"dense_axes={self.dense_axes}")
        if self.spreads is not None and not isinstance(self.spreads, nn.Parameter):
            parts.append("learn_spreads=False")
        return ", ".join(parts)


class DclsConv1d(DclsConv):
    """`DclsConv` over one axis: (B, in_channels, T) -> (B, out_channels, T')."""

    num_axes = 1


class DclsConv2d(DclsConv):
    """`DclsConv` over two axes: (B, in_channels, T_0, T_1) -> (B, out_channels, T_0', T_1').

    For a spectrogram axis 0 is frequency and axis 1 time.
    """

    num_axes = 2


class DclsConv3d(DclsConv):
    """`DclsConv` over three axes: (B, in_channels, T_0, T_1, T_2) -> (B, out_channels, T_0', T_1', T_2')."""

    num_axes = 3


def share_positions(layers: Sequence[DclsConv]) -> FactorCache:
    """Make layers share the positions and spreads of the first one, and build their 1-D factors once per forward pass.

    Args:
        layers: layers with the same shape of positions, kernel size and interpolation; each keeps its own weight and
            bias.

    Returns:
        The cache of the group, which each layer also holds as `factor_cache`.

    Raises:
        ArgumentError: the sequence is empty, or a layer does not fit the first.

    >>> layers = [DclsConv2d(4, 4, 3, 7, groups=4) for _ in range(3)]
    >>> cache = share_positions(layers)
    >>> layers[2].positions is layers[0].positions
    True
    """
    if not layers:
        raise ArgumentError("`layers` (=[]) must hold at least one layer to share positions")
    first, cache = layers[0], FactorCache()
    for layer in layers:
        ours, theirs = _sharing_traits(first), _sharing_traits(layer)
        if ours != theirs:
            raise ArgumentError(
                f"`layers` must agree on shape, size and interpolation to share positions: {ours}, {theirs}"
            )
        layer.positions, layer.spreads, layer.factor_cache = first.positions, first.spreads, cache
    return cache


def _sharing_traits(layer: DclsConv) -> tuple[Any, ...]:
    shape = tuple(layer.positions.shape)
    return shape, layer.dilated_kernel_size, layer.dense_axes, layer.interpolation, type(layer.spreads).__name__
