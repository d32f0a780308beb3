"""Image models with DCLS. Importing this module registers them with timm, under their own names.

    >>> import timm
    >>> import audio_dcls.models.image_models
    >>> timm.create_model("convnext_tiny_dcls_gauss", num_classes=10).default_cfg["input_size"]
    (3, 224, 224)

ConvNeXt-T, -S and -B with 17x17 bilinear kernels of 34, 40 and 40 elements, and with 23x23 Gauss ones of 26; ResNet-50
with every convolution above one tap in 7x7, bilinear (thesis, chapters 2 and 3). No model has more parameters than its
original.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import timm
from timm.models import register_model
from torch import nn

from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.dcls.swap.swap import plan_swap
from audio_dcls.models.image_optim import mark_positions


@dataclass(frozen=True)
class ImageSwap:
    """A timm model, and the kernels that its convolutions get."""

    original: str
    kernel_size: int
    """Taps along both axes."""
    kernel_count: int
    interpolation: str
    rule: str = "paper"
    """The rule of `plan_swap`."""


IMAGE_SWAPS = {
    "convnext_tiny_dcls_bilinear": ImageSwap("convnext_tiny", 17, 34, "bilinear"),
    "convnext_small_dcls_bilinear": ImageSwap("convnext_small", 17, 40, "bilinear"),
    "convnext_base_dcls_bilinear": ImageSwap("convnext_base", 17, 40, "bilinear"),
    "convnext_tiny_dcls_gauss": ImageSwap("convnext_tiny", 23, 26, "gauss"),
    "convnext_small_dcls_gauss": ImageSwap("convnext_small", 23, 26, "gauss"),
    "convnext_base_dcls_gauss": ImageSwap("convnext_base", 23, 26, "gauss"),
    "resnet50_dcls_bilinear": ImageSwap("resnet50", 7, 5, "bilinear", "every"),
}
"""The registered models. ResNet-50 has five elements, the most that do not make it larger: its 3x3 convolutions have 9
weights per pair of channels, and n layers that share positions have n + 2 numbers per element."""


def build_image_model(name: str, pretrained: bool = False, **arguments: Any) -> nn.Module:
    """Build a model of `IMAGE_SWAPS`: (B, 3, H, W) -> (B, num_classes).

    Args:
        name: its name in `IMAGE_SWAPS`.
        pretrained: load timm's weights of the original; kernels are fitted to its kernels, the rest is copied.
        arguments: arguments of timm's `create_model`.
    """
    swap = IMAGE_SWAPS[name]
    model = timm.create_model(swap.original, pretrained=pretrained, **arguments)
    plan = plan_swap(
        model,
        swap.rule,
        dilated_kernel_size=swap.kernel_size,
        kernel_count=swap.kernel_count,
        interpolation=swap.interpolation,
    )
    plan.apply(model, transfer="fit" if pretrained else "random")
    for layer in dcls_layers(model).values():
        mark_positions(layer)
    return model


def _register(name: str) -> None:
    """Register a model of `IMAGE_SWAPS` with timm, as a function of this module."""

    def build(pretrained: bool = False, **arguments: Any) -> nn.Module:
        return build_image_model(name, pretrained, **arguments)

    build.__name__ = build.__qualname__ = name
    globals()[name] = register_model(build)


for _name in IMAGE_SWAPS:
    _register(_name)
