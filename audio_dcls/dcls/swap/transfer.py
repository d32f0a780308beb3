"""Transfer from trained convolutions to the DCLS layers that replace them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.swap.kernel_fit import fit_kernels

TRANSFERS = ("random", "fit")


@dataclass(frozen=True)
class LayerTransfer:
    """The transfer to one layer.

    Attributes:
        name: path of the layer in the model.
        relative_error: norm of the difference between its dense kernel and the trained one, over norm of the latter.
        bias: True if a bias was copied.
    """

    name: str
    relative_error: float
    bias: bool


def transfer_kernels(
    groups: Sequence[Sequence[str]], convs: Mapping[str, Any], layers: Mapping[str, DclsConv]
) -> tuple[LayerTransfer, ...]:
    """Fit the kernels of layers to those of trained convolutions, and copy the biases.

    Args:
        groups: names of the layers that share positions, group by group; a layer that does not share is a group too.
        convs: name -> convolution.
        layers: name -> the DCLS layer that replaces it; changed in place.

    Returns:
        One record per layer, in the order of `layers`.
    """
    records = {}
    for names in groups:
        kernels = [_effective_kernel(convs[name], layers[name]) for name in names]
        errors = fit_kernels([layers[name] for name in names], kernels)
        for name, error in zip(names, errors, strict=True):
            bias = layers[name].bias
            if bias is not None:
                with torch.no_grad():
                    bias.copy_(convs[name].bias)
            records[name] = LayerTransfer(name, error, bias is not None)
    return tuple(records[name] for name in layers)


def _effective_kernel(conv: Any, layer: DclsConv) -> Tensor:
    """A convolution's kernel without dilation, with the centre of the layer's kernel.

    The centre of n taps is tap n // 2. With "same" padding and an even n, however, the output is at tap n // 2 - 1, so
    a zero is added if one of the two kernels has an even number of taps and the other an odd one.
    """
    kernel = conv.weight.detach()
    lengths = [step * (taps - 1) + 1 for taps, step in zip(conv.kernel_size, conv.dilation, strict=True)]
    spaced = kernel.new_zeros(*kernel.shape[:2], *lengths)
    spaced[(..., *(slice(None, None, step) for step in conv.dilation))] = kernel
    pads: list[int] = []
    for taps, size in zip(reversed(lengths), reversed(layer.dilated_kernel_size), strict=True):
        pads += [0, (taps - size) % 2] if taps % 2 else [(taps - size) % 2, 0]
    return F.pad(spaced, pads)
