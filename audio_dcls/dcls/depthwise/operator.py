"""Depthwise two-dimensional convolution with a fast exact backward, as a registered custom operator.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.

Forward and input gradient are one operator: the gradient of a stride-1 convolution with respect to its input is a
convolution of the output's gradient with the flipped kernel and the complementary padding. The weight gradient is a
second operator, whose method depends on device, type and shape (`weight_gradient`). Each is the derivative of the
other, so double backward works too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F

from audio_dcls.dcls.arguments import is_transformed
from audio_dcls.dcls.depthwise.forward import convolve, hangs_in_low_precision
from audio_dcls.dcls.depthwise.weight_gradient import weight_gradient
from audio_dcls.dcls.kernel import full_precision
from audio_dcls.errors import ArgumentError

_OWN_DEVICES = ("cpu", "cuda", "meta")
_LOW_PRECISION = (torch.bfloat16, torch.float16)


def depthwise_conv(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
) -> torch.Tensor:
    r"""Convolve each channel with its own kernel: `F.conv2d(..., groups=channels)` with a faster backward.

    .. math:: y[n, c, a, b] = \beta[c] + \sum_{i, j} w[c, i, j] \, x[n, c, a + i - p_h, b + j - p_w]

    Under autocast `x` is cast and a float32 `weight` is not: it is rounded inside, and its gradient stays float32.
    On the CPU the result is in channels_last memory format. Torch's convolution is used where the operator does not
    apply: for a stride or dilation other than 1, several kernels per channel, padding wider than the kernel, other
    devices and `torch.func` transforms; and for exports, so that the program runs without this package.

    Args:
        x: floating-point input, (N, C, H, W) or (C, H, W).
        weight: kernels, of the type of `x` (or float32 under autocast), (C, 1, I, J).
        bias: one number per channel, (C,), or None.
        stride: step of the output grid, taps.
        padding: zeros on each side, taps; one number, one per axis, "valid" or "same".
        dilation: spacing of the kernel's taps, taps.

    Shape:
        result: (N, C, A, B) with `A = H + 2 p_h - I + 1`, `B = W + 2 p_w - J + 1` at stride 1.

    Raises:
        ArgumentError: shapes or types do not fit together.

    >>> x = torch.ones(1, 2, 4, 4)
    >>> depthwise_conv(x, torch.ones(2, 1, 3, 3), padding=1)[0, 0].tolist()[0]
    [4.0, 6.0, 6.0, 4.0]
    """
    x = _check(x, weight, bias)
    if x.ndim == 3:
        return depthwise_conv(x[None], weight, bias, stride, padding, dilation)[0]
    groups, kernel_size = x.shape[1], (weight.shape[2], weight.shape[3])
    pads = _resolve_padding(padding, kernel_size)
    is_covered = (
        _is_one(stride)
        and _is_one(dilation)
        and weight.shape[0] == groups
        and x.device.type in _OWN_DEVICES
        and not torch.compiler.is_exporting()
        and not is_transformed()
    )
    if pads is None or not is_covered or any(not 0 <= pad < taps for pad, taps in zip(pads, kernel_size, strict=True)):
        return _torch_conv(x, weight, bias, stride, padding, dilation)
    if x.device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last)
    is_recorded = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias))
    if is_recorded or torch.compiler.is_compiling():
        return _conv_op(x, weight, bias, pads)
    return convolve(x, weight, bias, pads)


def _check(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Check shapes and types; cast `x` under autocast."""
    if x.ndim not in (3, 4) or weight.ndim != 4 or weight.shape[1] != 1:
        raise ArgumentError(
            f"`x` {tuple(x.shape)} and `weight` {tuple(weight.shape)} must be (N, C, H, W) or (C, H, W) and "
            "(C, 1, rows, columns); reshape them"
        )
    num_channels = x.shape[-3]
    if weight.shape[0] % max(1, num_channels) or weight.shape[0] < num_channels:
        raise ArgumentError(
            f"`weight` has {weight.shape[0]} kernels for the {num_channels} channels of `x`; give one per channel, "
            "or the same number for each"
        )
    device = x.device.type
    if device in _OWN_DEVICES[:2] and torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype(device))
        allowed = (x.dtype, torch.float32)
    else:
        allowed = (x.dtype,)
    if weight.dtype not in allowed or (bias is not None and bias.dtype not in allowed):
        raise ArgumentError(
            f"`weight` ({weight.dtype}) and `bias` ({None if bias is None else bias.dtype}) must be of the type of "
            f"`x` ({x.dtype}); convert them, or run under torch.autocast"
        )
    return x


def _torch_conv(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *options: Any) -> torch.Tensor:
    """Torch's convolution, in float32 where it might not return in a narrower type."""
    dtype = torch.float32 if hangs_in_low_precision(x, weight) else x.dtype
    weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    with full_precision(x.device) if dtype != x.dtype else contextlib.nullcontext():
        return F.conv2d(x.to(dtype), weight, bias, *options, groups=x.shape[1]).to(x.dtype)


def _is_one(value: int | Sequence[int]) -> bool:
    return value == 1 if isinstance(value, int) else all(v == 1 for v in value)


def _resolve_padding(padding: int | Sequence[int] | str, kernel_size: tuple[int, int]) -> list[int] | None:
    """Zeros on each side of each axis; None if the two sides differ ("same" with an even kernel)."""
    padding = 0 if padding == "valid" else padding
    if padding == "same":
        return None if any(taps % 2 == 0 for taps in kernel_size) else [taps // 2 for taps in kernel_size]
    if isinstance(padding, str):
        raise ArgumentError(f"`padding` (={padding!r}) must be a number of taps, one per axis, 'valid' or 'same'")
    if isinstance(padding, int):
        return [padding, padding]
    return [padding[0], padding[-1]]


def _memory_format(x: torch.Tensor) -> torch.memory_format:
    """channels_last on the CPU, where it is fast; otherwise the format of `x`."""
    follows = x.device.type == "cpu" or not x.is_contiguous()
    return torch.channels_last if follows else torch.contiguous_format


def _output_shape(x: torch.Tensor, kernel_size: Sequence[int], padding: Sequence[int]) -> tuple[int, int, int, int]:
    height, width = (x.shape[2 + d] + 2 * padding[d] - kernel_size[d] + 1 for d in range(2))
    return x.shape[0], x.shape[1], height, width


@torch.library.custom_op("audio_dcls::depthwise_conv2d", mutates_args=())
def _conv_op(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: Sequence[int]) -> torch.Tensor:
    options = {"memory_format": _memory_format(x)}
    return convolve(x.contiguous(**options), weight, bias, padding).contiguous(**options)


@_conv_op.register_fake
def _conv_fake(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: Sequence[int]):
    shape = _output_shape(x, weight.shape[2:], padding)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_memory_format(x))


@torch.library.custom_op("audio_dcls::depthwise_conv2d_weight_gradient", mutates_args=())
def _weight_gradient_op(
    x: torch.Tensor, grad: torch.Tensor, kernel_size: Sequence[int], padding: Sequence[int]
) -> torch.Tensor:
    with full_precision(x.device):
        return weight_gradient(x, grad, (kernel_size[0], kernel_size[1]), (padding[0], padding[1]))


@_weight_gradient_op.register_fake
def _weight_gradient_fake(x: torch.Tensor, grad: torch.Tensor, kernel_size: Sequence[int], padding: Sequence[int]):
    dtype = torch.float32 if x.dtype in _LOW_PRECISION else x.dtype
    return x.new_empty((x.shape[1], 1, kernel_size[0], kernel_size[1]), dtype=dtype)


def _flipped(weight: torch.Tensor, padding: Sequence[int]) -> tuple[torch.Tensor, list[int]]:
    """Kernel and padding of the transposed convolution."""
    return weight.flip(2, 3), [weight.shape[2 + d] - 1 - padding[d] for d in range(2)]


def _conv_setup(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, weight, bias, ctx.padding = inputs
    ctx.bias_dtype = None if bias is None else bias.dtype
    needs_x, needs_weight = ctx.needs_input_grad[:2]
    ctx.kernel_size = list(weight.shape[2:])
    ctx.weight_dtype = weight.dtype
    ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)


def _conv_backward(ctx: Any, grad: torch.Tensor):
    x, weight = ctx.saved_tensors
    grad_x = grad_weight = grad_bias = None
    if ctx.needs_input_grad[0]:
        kernel, padding = _flipped(weight, ctx.padding)
        grad_x = _conv_op(grad, kernel, None, padding)
    if ctx.needs_input_grad[1]:
        grad_weight = _weight_gradient_op(x, grad, ctx.kernel_size, ctx.padding).to(ctx.weight_dtype)
    if ctx.needs_input_grad[2]:
        grad_bias = grad.sum((0, 2, 3), dtype=ctx.bias_dtype)
    return grad_x, grad_weight, grad_bias, None


def _weight_gradient_setup(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, grad, _, ctx.padding = inputs
    ctx.save_for_backward(x, grad)


def _weight_gradient_backward(ctx: Any, grad_weight: torch.Tensor):
    x, grad = ctx.saved_tensors
    grad_x = grad_grad = None
    if ctx.needs_input_grad[0]:
        kernel, padding = _flipped(grad_weight, ctx.padding)
        grad_x = _conv_op(grad, kernel, None, padding)
    if ctx.needs_input_grad[1]:
        grad_grad = _conv_op(x, grad_weight, None, ctx.padding)
    return grad_x, grad_grad, None, None


_conv_op.register_autograd(_conv_backward, setup_context=_conv_setup)
_weight_gradient_op.register_autograd(_weight_gradient_backward, setup_context=_weight_gradient_setup)


class DepthwiseConv2d(torch.nn.Conv2d):
    """`torch.nn.Conv2d` with one group per channel, computed by `depthwise_conv`; parameters and names are the same.

    Args:
        num_channels: channels of the input and of the output.
        kernel_size: rows and columns of the kernel, taps.
        stride, padding, dilation, bias, padding_mode, device, dtype: as in `torch.nn.Conv2d`.

    Shape:
        input: (N, C, H, W); output: as `torch.nn.Conv2d`.

    >>> DepthwiseConv2d(4, 7, padding=3)(torch.ones(1, 4, 8, 8)).shape
    torch.Size([1, 4, 8, 8])
    """

    def __init__(
        self,
        num_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            num_channels, num_channels, kernel_size, stride, padding, dilation, num_channels, bias, padding_mode,
            device, dtype,
        )  # fmt: skip

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The hook that `torch.nn.Conv2d.forward` calls."""
        if self.padding_mode == "zeros":
            return depthwise_conv(input, weight, bias, self.stride, self.padding, self.dilation)
        padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return depthwise_conv(padded, weight, bias, self.stride, 0, self.dilation)
