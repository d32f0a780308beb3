"""Frozen inference: DCLS layers become plain convolutions, whose kernels are built once.

A frozen layer keeps its original outside its parameters: state dicts, exporters and code that fuses layers see
`torch.nn.Conv1d`, `Conv2d` or `Conv3d`, and `unfreeze` restores the original.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.conv_transpose import DclsConvTranspose
from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d
from audio_dcls.errors import ArgumentError, ModelError

_ORIGINAL, _FUSED = "dcls_original", "dcls_fused"
_PLAIN_CLASSES = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED_CLASSES = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def freeze(model: nn.Module, *, discrete: bool = False) -> nn.Module:
    """Turn every DCLS layer of a model into a plain convolution with its current kernel; the outputs stay the same.

    Args:
        model: any model, changed in place; a DCLS layer itself is returned as a convolution.
        discrete: use each layer's `to_discrete` kernel, with every element on one tap, instead of its dense one.

    Returns:
        The model. Frozen parameters do not require gradients.

    Raises:
        ArgumentError: `model` is not a module.

    >>> from audio_dcls.dcls.conv import DclsConv2d
    >>> model = freeze(nn.Sequential(DclsConv2d(4, 8, 3, 5)))
    >>> sorted(model.state_dict()), isinstance(model[0], nn.Conv2d)
    (['0.bias', '0.weight'], True)
    >>> type(unfreeze(model)[0]).__name__
    'DclsConv2d'
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"`model` (={model!r}) must be a torch.nn.Module")

    def freeze_layer(module: nn.Module) -> nn.Module:
        return _frozen(module, discrete) if isinstance(module, DclsConv) else module

    return _replace(model, freeze_layer)


def unfreeze(model: nn.Module) -> nn.Module:
    """Restore the DCLS layers that `freeze` replaced, on the device and in the type of the convolutions.

    Args:
        model: a frozen model, changed in place; changes made to its frozen kernels are lost.

    Raises:
        ModelError: a frozen layer was fused with others; the model stays as it is.
    """
    fused = [name for name, module in model.named_modules() if getattr(module, _FUSED, False)]
    if fused:
        raise ModelError(
            f"{len(fused)} layers (the first is '{fused[0]}') hold DCLS kernels fused with neighbouring layers, which "
            "cannot be separated; build or load the model again, or unfreeze a copy made before fusing"
        )

    def restore(module: nn.Module) -> nn.Module:
        original: DclsConv | None = getattr(module, _ORIGINAL, None)
        if original is None:
            return module
        weight: Any = module.weight
        return original.to(weight.device, weight.dtype).train(module.training)

    return _replace(model, restore)


def holds_frozen(module: nn.Module) -> bool:
    """True if a module is, or contains, a frozen layer or a convolution that one was fused into."""
    return any(hasattr(part, _ORIGINAL) or hasattr(part, _FUSED) for part in module.modules())


def mark_fused(conv: nn.Module, was_frozen: bool = True) -> None:
    """Mark a convolution as fused, so that `unfreeze` refuses it, and drop its original layer.

    It needs no mark if no frozen layer is part of it (`was_frozen` is False).
    """
    conv.__dict__.pop(_ORIGINAL, None)
    if was_frozen:
        conv.__dict__[_FUSED] = True


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Freeze a model inside a `with` block, for example while it is evaluated between two epochs.

    Args:
        model: a model that contains DCLS layers; it must not be a DCLS layer itself.
    """
    try:
        yield freeze(model)
    finally:
        unfreeze(model)


def _frozen(layer: DclsConv, discrete: bool) -> nn.Module:
    with torch.no_grad():
        kernel = layer.to_discrete() if discrete else layer.dense_kernel()
    options: dict[str, Any] = {name: getattr(layer, name) for name in ("stride", "padding", "padding_mode")}
    options |= {"bias": layer.bias is not None, "device": "meta"}
    conv: Any
    if isinstance(layer, DclsConvTranspose):
        plain = _TRANSPOSED_CLASSES[layer.num_axes]
        options |= {"groups": layer.groups, "output_padding": layer.output_padding}
        conv = plain(layer.in_channels, layer.out_channels, layer.dilated_kernel_size, **options)
    elif layer.num_axes == 2 and layer.is_depthwise:
        num_rows, num_columns = layer.dilated_kernel_size
        conv = DepthwiseConv2d(layer.out_channels, (num_rows, num_columns), **options)
    else:
        plain = _PLAIN_CLASSES[layer.num_axes]
        conv = plain(layer.in_channels, layer.out_channels, layer.dilated_kernel_size, groups=layer.groups, **options)
    conv.weight = _constant(kernel)
    if layer.bias is not None:
        conv.bias = _constant(layer.bias)
    # This bypasses Module.__setattr__, which would register the original as a part of the frozen layer.
    object.__setattr__(conv, _ORIGINAL, layer)
    return conv.train(layer.training)


def _constant(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().clone(), requires_grad=False)


def _replace(model: nn.Module, substitute: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Replace modules everywhere; a module used in several places gets one replacement."""
    replaced = {id(module): substitute(module) for module in model.modules()}
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and replaced[id(child)] is not child:
                parent._modules[name] = replaced[id(child)]
    return replaced[id(model)]
