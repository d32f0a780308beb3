"""Replacing the weights of a layer for inference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from audio_dcls.dcls.freezing import holds_frozen, mark_fused


def set_weights(layer: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Put other weights into a convolution or linear layer, and mark it as fused.

    Args:
        layer: changed in place, and returned.
        weight: the new weight.
        bias: the new bias; None for no bias.
    """
    requires_grad, was_frozen = layer.weight.requires_grad, holds_frozen(layer)
    with torch.no_grad():
        layer.weight = nn.Parameter(weight.detach(), requires_grad=requires_grad)
        layer.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=requires_grad)
    mark_fused(layer, was_frozen)
    return layer
