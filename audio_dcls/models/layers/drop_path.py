"""Drop path whose random draws are passed in, so that they do not depend on how a batch is split.

Axes: B clips, L drop-path layers of a model.

Stochastic depth (Huang et al., 2016, arXiv 1603.09382) skips a residual branch for some clips of a batch. With a global
generator, the skipped clips would depend on micro-batches, devices and order.
"""

from __future__ import annotations

from timm.layers.drop import DropPath
from torch import Tensor, nn


class CountedDropPath(DropPath):
    """timm's `DropPath` that keeps the clips whose draw is at least the probability of dropping."""

    draws: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...); without draws it does what timm's does."""
        if self.drop_prob == 0.0 or not self.training or self.draws is None:
            return super().forward(x)
        kept = (self.draws >= self.drop_prob).to(x.dtype).view(-1, *[1] * (x.ndim - 1))
        if self.scale_by_keep:
            kept = kept / (1.0 - self.drop_prob)
        return x * kept


def use_counted_drop_path(model: nn.Module) -> int:
    """Make every drop path of a model use the draws of `set_drop_path_draws`; return L, the number of such layers."""
    layers = [module for module in model.modules() if type(module) in (DropPath, CountedDropPath)]
    for layer in layers:
        layer.__class__ = CountedDropPath
    return len(layers)


def set_drop_path_draws(model: nn.Module, draws: Tensor | None) -> None:
    """Set the draws of each layer for the next forward pass, (L, B) uniform in [0, 1); None to use timm's own draws."""
    layers = [module for module in model.modules() if isinstance(module, CountedDropPath)]
    for index, layer in enumerate(layers):
        layer.draws = None if draws is None else draws[index]
