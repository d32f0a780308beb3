"""AdamW and LAMB for DCLS positions, under names that timm's optimiser factory accepts: `dclsadamw`, `dclslamb`.

Positions and spreads learn at five times the rate, without weight decay, and bilinear positions are clamped after every
step (thesis, section 2.4). timm's own training script cannot do this for parameters with several axes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from timm.optim._optim_factory import OptimInfo, default_registry
from timm.optim.lamb import Lamb
from torch import nn

from audio_dcls.dcls.conv import DclsConv

POSITION_RATE_FACTOR = 5.0
_MARK = "dcls_borders"


def mark_positions(layer: DclsConv) -> None:
    """Mark a layer's positions, with borders if bilinear, and spreads, for optimisers that see only parameters."""
    borders = None if layer.form.has_spreads else tuple(size // 2 for size in layer.learned_size)
    setattr(layer.positions, _MARK, borders)
    if layer.spreads is not None:
        setattr(layer.spreads, _MARK, None)


class _KnowsPositions(torch.optim.Optimizer):
    """Puts marked parameters into groups of their own, and keeps those with borders inside the borders."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(_split(params, float(options["lr"])), **options)  # type: ignore[call-arg]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                for coordinates, border in zip(parameter, getattr(parameter, _MARK, None) or (), strict=False):
                    coordinates.clamp_(-border, border)
        return loss


class DclsAdamW(_KnowsPositions, torch.optim.AdamW):
    """AdamW for models with DCLS layers."""


class DclsLamb(_KnowsPositions, Lamb):
    """timm's LAMB for models with DCLS layers."""


def _split(params: Any, rate: float) -> list[dict[str, Any]]:
    given = list(params)
    groups: list[dict[str, Any]] = given if given and isinstance(given[0], dict) else [{"params": given}]
    parts: list[dict[str, Any]] = []
    for group in groups:
        members = list(_as_list(group["params"]))
        marked = [parameter for parameter in members if hasattr(parameter, _MARK)]
        plain = [parameter for parameter in members if not hasattr(parameter, _MARK)]
        if plain:
            parts.append({**group, "params": plain})
        if marked:
            faster = POSITION_RATE_FACTOR * float(group.get("lr", rate))
            parts.append({**group, "params": marked, "lr": faster, "weight_decay": 0.0})
    return parts


def _as_list(params: Any) -> Iterable[nn.Parameter]:
    return [params] if isinstance(params, nn.Parameter) else params


for _name, _class, _says in (
    ("dclsadamw", DclsAdamW, "AdamW, positions of DCLS layers at five times the rate"),
    ("dclslamb", DclsLamb, "LAMB, positions of DCLS layers at five times the rate"),
):
    default_registry.register(OptimInfo(name=_name, opt_class=_class, description=_says, has_betas=True))
