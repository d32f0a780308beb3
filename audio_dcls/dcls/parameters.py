"""Parameters of DCLS layers during training: optimiser groups, clamping and repulsion.

Axis legend: O output channels, I input channels of a group, K elements, M learned axes, D.. dense axes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from audio_dcls.dcls.conv import DclsConv
from audio_dcls.errors import ArgumentError


def dcls_layers(model: nn.Module) -> dict[str, DclsConv]:
    """The DCLS layers of a model by name; frozen layers are not among them."""
    return {name: module for name, module in model.named_modules() if isinstance(module, DclsConv)}


def position_sets(model: nn.Module) -> dict[str, DclsConv]:
    """The first layer that holds each set of positions, by name: layers that share positions count once."""
    first: dict[int, tuple[str, DclsConv]] = {}
    for name, layer in dcls_layers(model).items():
        first.setdefault(id(layer.positions), (name, layer))
    return dict(first.values())


def parameter_groups(
    model: nn.Module, *, rate: float, weight_decay: float = 0.05, position_rate_factor: float = 5.0
) -> list[dict[str, Any]]:
    """Split parameters for an optimiser: decayed, not decayed, and positions with spreads at a higher rate.

    Biases and other one-dimensional parameters (norms, layer scales; axes of size 1 do not count) are not decayed,
    except for the weights of 1x1 depthwise convolutions. Positions and spreads are not decayed either, and their rate
    is multiplied (thesis, section 2.4). A shared parameter counts once.

    Args:
        model: any model.
        rate: learning rate.
        weight_decay: weight decay of the first group.
        position_rate_factor: multiplies the rate of positions and spreads.

    Raises:
        ArgumentError: a number is out of its range.

    Returns:
        Groups with keys `name`, `params`, `lr` and `weight_decay`; empty groups are left out.

    >>> from audio_dcls.dcls.conv import DclsConv1d
    >>> groups = parameter_groups(DclsConv1d(2, 2, 3, 9), rate=1e-3)
    >>> [(group["name"], group["lr"], group["weight_decay"], len(group["params"])) for group in groups]
    [('decayed', 0.001, 0.05, 1), ('undecayed', 0.001, 0.0, 1), ('positions', 0.005, 0.0, 2)]
    """
    for name, value, least in (("rate", rate, 0), ("position_rate_factor", position_rate_factor, 0)):
        if not isinstance(value, (int, float)) or not value > least:
            raise ArgumentError(f"`{name}` (={value!r}) must be a number above {least}")
    if not isinstance(weight_decay, (int, float)) or not weight_decay >= 0:
        raise ArgumentError(f"`weight_decay` (={weight_decay!r}) must be a number of at least 0")
    moved = {
        id(tensor)
        for layer in dcls_layers(model).values()
        for tensor in (layer.positions, layer.spreads)
        if tensor is not None
    }
    members: dict[str, list[nn.Parameter]] = {"decayed": [], "undecayed": [], "positions": []}
    weights = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Linear, _ConvNd, DclsConv))}
    for parameter in model.parameters():
        if parameter.requires_grad:
            is_flat = parameter.ndim <= 1 if id(parameter) in weights else parameter.squeeze().ndim <= 1
            members["positions" if id(parameter) in moved else "undecayed" if is_flat else "decayed"].append(parameter)
    rates = {"decayed": rate, "undecayed": rate, "positions": rate * position_rate_factor}
    return [
        {"name": name, "params": params, "lr": rates[name], "weight_decay": weight_decay if name == "decayed" else 0.0}
        for name, params in members.items()
        if params
    ]


def clamp_positions(model: nn.Module) -> None:
    """Move every element back into its kernel, within +-(size // 2) taps of the centre along each learned axis."""
    with torch.no_grad():
        for layer in position_sets(model).values():
            for coordinates, taps in zip(layer.positions, layer.learned_size, strict=True):
                coordinates.clamp_(-(taps // 2), taps // 2)


def count_outside(model: nn.Module) -> int:
    """Number of elements beyond +-(size // 2) taps of their kernel's centre; shared ones count once."""
    num_outside = torch.zeros((), dtype=torch.long)
    with torch.no_grad():
        for layer in position_sets(model).values():
            limits = layer.positions.new_tensor([taps // 2 for taps in layer.learned_size])
            limits = limits.reshape(-1, *(1 for _ in layer.weight.shape))
            num_outside = num_outside.to(limits.device) + (layer.positions.abs() > limits).any(0).sum()
    return int(num_outside)


def repulsive_loss(model: nn.Module, reach_taps: float = 1.0) -> Tensor:
    r"""Mean overlap of the elements of each kernel: 0 when all are at least `reach_taps` apart, at most 1.

    .. math:: \frac{1}{L} \sum_l \frac{2}{C K (K - 1)} \sum_{c, i < j} \max(0, 1 - \|p_{c,i} - p_{c,j}\| / r)

    the mean over layers, kernels and pairs (thesis, section 2.4, after KPConv's). Layers that share positions count
    once. Add it to the loss, scaled by a `RepulsionSchedule`.

    Args:
        model: a model with DCLS layers.
        reach_taps: distance from which elements no longer repel each other, in taps, above 0.

    Shape:
        a scalar

    Raises:
        ArgumentError: the reach is not above 0, or no layer has two elements.
    """
    if reach_taps <= 0:
        raise ArgumentError(f"`reach_taps` (={reach_taps}) must be above 0")
    overlaps = []
    for layer in position_sets(model).values():
        if layer.kernel_count > 1:
            points = layer.positions.movedim(0, -1).flatten(0, -3)
            pairs = torch.triu_indices(layer.kernel_count, layer.kernel_count, offset=1, device=points.device)
            steps = points[:, pairs[0]] - points[:, pairs[1]]
            overlaps.append((1 - torch.linalg.vector_norm(steps, dim=-1) / reach_taps).relu().mean())
    if not overlaps:
        raise ArgumentError("`model` has no DCLS layer with two elements or more, so no pair can repel")
    return torch.stack(overlaps).mean()
