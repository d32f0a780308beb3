"""Inference form of a model: frozen DCLS kernels, FastViT's branches fused into one convolution each, scales folded.

FastViT trains blocks of parallel branches and turns each into one convolution for inference (reparameterisation: Vasu
et al., ICCV 2023). timm's blocks do that with the kernel size they were built with; in a swapped model they take the
classes below, which go by the kernels there are and freeze those that are DCLS. So timm's own `reparameterize_model`
may come before the swap, after it, or after freezing.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from timm.layers.conv_bn_act import ConvNormAct
from timm.models.convnext import ConvNeXtBlock
from timm.models.fastvit import (
    AttentionBlock,
    ConvMlp,
    LayerScale2d,
    MobileOneBlock,
    ReparamLargeKernelConv,
    RepConditionalPosEnc,
    RepMixer,
    RepMixerBlock,
)
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from audio_dcls.dcls.freezing import freeze, holds_frozen, mark_fused
from audio_dcls.errors import ModelError
from audio_dcls.models.stem import to_channels_last

Model = TypeVar("Model", bound=nn.Module)


def prepare_for_inference(model: Model) -> Model:
    """Put a model into the form that is fastest to apply; its outputs stay the same.

    In evaluation mode DCLS kernels are frozen, FastViT's branches and the batch norms behind its large kernels fused,
    the layer scales of ConvNeXt and FastViT put into the weights before them, and convolutions laid out in
    channels_last. A second call changes nothing. Where something was fused with a DCLS layer `unfreeze` refuses. A
    checkpoint can be written before, not after.

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
    modules: list[Any] = list(model.modules())
    for module in modules:
        if isinstance(module, tuple(_FUSABLE_CLASSES.values())) and module.reparam_conv is None:
            if isinstance(module, FusablePositionalEncoding) or not _is_oblong(module):
                module.reparameterize()
        elif isinstance(module, ConvMlp) and isinstance(module.conv, ConvNormAct):
            _fuse_norm(module)
        if isinstance(module, tuple(_SCALED)):
            _fold_scales(module)
    to_channels_last(model)
    return model


def make_fusable(backbone: nn.Module) -> None:
    """Give FastViT's blocks the classes that fuse swapped kernels too; other models stay as they are."""
    for module in backbone.modules():
        fusable = _FUSABLE_CLASSES.get(type(module))
        if fusable is not None:
            module.__class__ = fusable


class FusablePositionalEncoding(RepConditionalPosEnc):
    """x + conv(x), with a kernel of any size."""

    def reparameterize(self) -> None:
        """Put the identity into the kernel's centre."""
        if self.reparam_conv is not None:
            return
        conv: Any = freeze(self).pos_enc
        kernel = conv.weight.detach().clone()
        kernel[:, 0, kernel.shape[2] // 2, kernel.shape[3] // 2] += 1
        self.reparam_conv = _with_weights(conv, kernel, conv.bias)
        del self.pos_enc


class FusableBlock(MobileOneBlock):
    """Sum of convolutions and an identity, each with a batch norm."""

    def reparameterize(self) -> None:
        """Fuse the branches, at the size of the largest."""
        if self.reparam_conv is not None:
            return
        self.kernel_size = _square_size(self, self.kernel_size)
        was_frozen = holds_frozen(freeze(self))
        super().reparameterize()
        _mark(self, was_frozen)


class FusableMixer(RepMixer):
    """x + scale * (mixer(x) - norm(x))."""

    def reparameterize(self) -> None:
        """Fuse all of it, at the size of the mixer's kernel."""
        if self.reparam_conv is not None:
            return
        self.kernel_size = self.norm.kernel_size = _square_size(self, self.kernel_size)
        was_frozen = holds_frozen(freeze(self))
        super().reparameterize()
        _mark(self, was_frozen)


class FusablePatchConv(ReparamLargeKernelConv):
    """Sum of a large and a small convolution, each with a batch norm."""

    small_conv: Any

    def reparameterize(self) -> None:
        """Fuse both, at the size of the large one."""
        if self.reparam_conv is not None:
            return
        self.kernel_size = _square_size(self, self.kernel_size)
        if self.small_kernel is not None:
            self.small_kernel = self.small_conv.conv.kernel_size[0]
        was_frozen = holds_frozen(freeze(self))
        super().reparameterize()
        _mark(self, was_frozen)


_FUSABLE_CLASSES: dict[type[nn.Module], Any] = {
    RepConditionalPosEnc: FusablePositionalEncoding,
    MobileOneBlock: FusableBlock,
    RepMixer: FusableMixer,
    ReparamLargeKernelConv: FusablePatchConv,
}

_SCALED: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    ConvNeXtBlock: (("gamma", "mlp.fc2"),),
    RepMixerBlock: (("layer_scale", "mlp.fc2"),),
    AttentionBlock: (("layer_scale_1", "token_mixer.proj"), ("layer_scale_2", "mlp.fc2")),
}
"""Blocks with layer scales: what each is called, and the layer whose output it multiplies."""


def _kernel_sizes(block: nn.Module) -> set[tuple[int, ...]]:
    """Taps of the kernels in a block."""
    sizes = (getattr(module, "kernel_size", None) for module in block.modules())
    return {size for size in sizes if isinstance(size, tuple)}


def _is_oblong(block: nn.Module) -> bool:
    return any(rows != columns for rows, columns in _kernel_sizes(block))


def _square_size(block: nn.Module, default: int) -> int:
    """Taps along a side of the largest kernel in a block, which timm takes to be square."""
    if _is_oblong(block):
        raise ModelError(
            f"a {type(block).__name__} with kernels of {sorted(_kernel_sizes(block))} taps cannot be fused, since they "
            "are not square; leave it as it is (`prepare_for_inference` does), or set model.dcls.kernel_size alike"
        )
    return max((rows for rows, _ in _kernel_sizes(block)), default=default)


def _mark(block: Any, was_frozen: bool) -> None:
    mark_fused(block.reparam_conv, was_frozen)


def _fuse_norm(block: Any) -> None:
    """Put the batch norm of a conv-MLP into the convolution before it."""
    conv, norm = block.conv.conv, block.conv.bn
    statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    block.conv = _with_weights(conv, *fuse_conv_bn_weights(conv.weight, conv.bias, *statistics))


def _fold_scales(block: Any) -> None:
    """Multiply a block's layer scales into the weights before them; inference then has one map less to pass over."""
    for name, layer_name in next(pairs for kind, pairs in _SCALED.items() if isinstance(block, kind)):
        scale = getattr(block, name)
        layer = block.get_submodule(layer_name)
        gamma = scale.gamma if isinstance(scale, LayerScale2d) else scale
        if not isinstance(gamma, Tensor) or not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        factors = gamma.detach().flatten()
        weight = layer.weight * factors.reshape(-1, *(1,) * (layer.weight.ndim - 1))
        _with_weights(layer, weight, None if layer.bias is None else layer.bias * factors)
        setattr(block, name, nn.Identity() if isinstance(scale, LayerScale2d) else None)


def _with_weights(conv: Any, kernel: Tensor, bias: Tensor | None) -> nn.Module:
    """A layer with other weights in it."""
    requires_grad, was_frozen = conv.weight.requires_grad, holds_frozen(conv)
    with torch.no_grad():
        conv.weight = nn.Parameter(kernel.detach(), requires_grad=requires_grad)
        conv.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=requires_grad)
    mark_fused(conv, was_frozen)
    return conv
