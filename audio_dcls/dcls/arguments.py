"""Checks of a convolution's arguments."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

import torch

from audio_dcls.errors import ArgumentError

Size = int | Sequence[int]
"""One number for all axes, or one number per axis."""

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def is_integer(value: object) -> bool:
    """True for an integer of Python, NumPy or torch; False for a boolean and everything else.

    >>> is_integer(3), is_integer(3.0), is_integer("3"), is_integer(True)
    (True, False, False, False)
    """
    try:
        operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return False
    return not isinstance(value, bool)


def per_axis(name: str, value: Size, num_axes: int, least: int) -> tuple[int, ...]:
    """Spread an argument over the axes: one number per axis, each at least `least`; else an `ArgumentError` by `name`.

    >>> per_axis("stride", 2, 3, 1)
    (2, 2, 2)
    """
    values: tuple[int, ...] = ()
    if is_integer(value):
        values = (operator.index(value),) * num_axes  # pyright: ignore[reportArgumentType]
    elif isinstance(value, Iterable) and not isinstance(value, str):
        values = tuple(value)
    if len(values) != num_axes or not all(is_integer(taps) and taps >= least for taps in values):
        raise ArgumentError(f"`{name}` (={value!r}) must be an integer or {num_axes} of them, each at least {least}")
    return tuple(operator.index(taps) for taps in values)


def check_counts(in_channels: int, out_channels: int, kernel_count: int, groups: int) -> tuple[int, int, int, int]:
    """Return the counts of a convolution if they are integers of at least 1 and the groups divide the channels."""
    counts = {"in_channels": in_channels, "out_channels": out_channels, "kernel_count": kernel_count, "groups": groups}
    for name, count in counts.items():
        if not is_integer(count) or count < 1:
            raise ArgumentError(f"`{name}` (={count!r}) must be an integer of at least 1")
    for name in ("in_channels", "out_channels"):
        if counts[name] % groups:
            raise ArgumentError(f"`{name}` (={counts[name]}) must be a multiple of `groups` (={groups})")
    return in_channels, out_channels, kernel_count, groups


def check_padding(padding: tuple[int, ...] | str, padding_mode: str, stride: tuple[int, ...]) -> None:
    """Check a padding and its mode by torch's rules; "same" cannot be combined with a stride."""
    if padding_mode not in _PADDING_MODES:
        raise ArgumentError(f"`padding_mode` (={padding_mode!r}) must be one of {', '.join(_PADDING_MODES)}")
    if isinstance(padding, str) and padding not in ("same", "valid"):
        raise ArgumentError(f"`padding` (={padding!r}) must be a number of taps along each axis, 'same' or 'valid'")
    if padding == "same" and set(stride) != {1}:
        raise ArgumentError(f"`stride` (={stride}) must be 1 with padding 'same'; give the padding in taps")


def check_random(dtype: torch.dtype | None, generator: torch.Generator | None) -> None:
    """Check the type and the source of initial values."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ArgumentError(f"`dtype` (={dtype}) must be a floating-point type, such as torch.float32")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ArgumentError(f"`generator` (={generator!r}) must be a torch.Generator, or None")


def is_transformed() -> bool:
    """True while a `torch.func` transform runs: it cannot see through operators with their own backward pass."""
    return torch._C._are_functorch_transforms_active()
