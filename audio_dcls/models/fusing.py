"""The inference form of a model: frozen DCLS kernels, fused branches and batch norms, folded layer scales."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor, nn

from audio_dcls.dcls.freezing import freeze
from audio_dcls.models.families import FAMILIES
from audio_dcls.models.families.family import set_weights
from audio_dcls.models.stem import to_channels_last

Model = TypeVar("Model", bound=nn.Module)


def prepare_for_inference(model: Model) -> Model:
    """Put a model into the form that is fastest to apply; its outputs stay the same.

    In evaluation mode DCLS kernels are frozen, the branches and batch norms of each family's blocks fused, layer scales
    folded into the weights before them, and convolutions laid out in channels_last. A second call changes nothing. If
    something was fused with a DCLS layer, `unfreeze` refuses. A checkpoint can be written before, not after.

    Args:
        model: a tagger or a backbone; changed in place.

    >>> from audio_dcls.frontend import FrontendConfig
    >>> from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
    >>> config = ModelConfig(name="fastvit_t8", overrides={"depths": [1, 1, 1, 1]}, dcls=DclsConfig())
    >>> tagger = prepare_for_inference(build_tagger(config, FrontendConfig(), num_classes=5))
    >>> tagger.backbone.stages[0].blocks[0].mlp.conv
    DepthwiseConv2d(48, 48, kernel_size=(23, 23), stride=(1, 1), padding=(11, 11), groups=48)
    """
    freeze(model.eval())
    make_fusable(model)
    for module in list(model.modules()):
        for family in FAMILIES:
            family.fuse(module)
            for block, scales in family.layer_scales.items():
                if isinstance(module, block):
                    _fold_scales(module, scales)
    to_channels_last(model)
    return model


def make_fusable(backbone: nn.Module) -> None:
    """Give blocks the classes of their family that also fuse swapped kernels; other modules stay as they are."""
    classes = {plain: fusable for family in FAMILIES for plain, fusable in family.fusable_classes.items()}
    for module in backbone.modules():
        fusable: Any = classes.get(type(module))
        if fusable is not None:
            module.__class__ = fusable


def _fold_scales(block: Any, scales: tuple[tuple[str, str], ...]) -> None:
    """Multiply the layer scales of a block into the weights before them, so that inference passes over one map less."""
    for name, layer_name in scales:
        scale = getattr(block, name)
        layer = block.get_submodule(layer_name)
        gamma = getattr(scale, "gamma", scale)
        if not isinstance(gamma, Tensor) or not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        factors = gamma.detach().flatten()
        weight = layer.weight * factors.reshape(-1, *(1,) * (layer.weight.ndim - 1))
        set_weights(layer, weight, None if layer.bias is None else layer.bias * factors)
        setattr(block, name, nn.Identity() if isinstance(scale, nn.Module) else None)
