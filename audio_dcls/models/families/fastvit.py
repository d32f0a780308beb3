"""FastViT (Vasu et al., 2023, arXiv 2303.14189).

It trains blocks of parallel branches and turns each into one convolution for inference (reparameterisation). timm's
blocks do that with the kernel size that they were built with. In a swapped model they take the classes below, which
read the sizes of the kernels that are there and freeze DCLS kernels. So timm's own `reparameterize_model` may come
before the swap, after it, or after freezing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from timm.layers.conv_bn_act import ConvNormAct
from timm.models import fastvit
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from audio_dcls.dcls.freezing import freeze, holds_frozen, mark_fused
from audio_dcls.errors import ModelError
from audio_dcls.models.families.family import (
    AuthorsLayout,
    Family,
    create_timm_model,
    override_arguments,
    set_weights,
)
from audio_dcls.models.stem import PatchStem


def _replace_stem(backbone: nn.Module, num_channels: int) -> None:
    """Put the patch stem, without a bias, in place of the whole MobileOne stem."""
    backbone.stem = PatchStem(num_channels, bias=False)


def _create(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """timm's model of that name; its grouped convolutions need widths that divide one another."""
    widths = arguments.get("embed_dims", ())
    if any(wide % narrow for narrow, wide in itertools.pairwise(widths)):
        raise ModelError(
            f"`model.overrides.dims` (={widths}) of '{architecture}' must each be a multiple of the one before"
        )
    return create_timm_model(architecture, arguments)


class FusablePositionalEncoding(fastvit.RepConditionalPosEnc):
    """x + conv(x), with a kernel of any size."""

    def reparameterize(self) -> None:
        """Put the identity into the kernel's centre."""
        if self.reparam_conv is not None:
            return
        conv: Any = freeze(self).pos_enc
        kernel = conv.weight.detach().clone()
        kernel[:, 0, kernel.shape[2] // 2, kernel.shape[3] // 2] += 1
        self.reparam_conv = set_weights(conv, kernel, conv.bias)
        del self.pos_enc


class _SquareBlock(nn.Module):
    """A block of timm whose branches are fused at the size of its largest kernel, which must be square."""

    kernel_size: Any
    reparam_conv: Any

    def set_size(self, size: int) -> None:
        """Set the size that timm's `reparameterize` reads."""
        self.kernel_size = size

    def reparameterize(self) -> None:
        """Fuse the branches into one convolution."""
        if isinstance(self.reparam_conv, nn.Module):
            return
        self.set_size(_square_size(self, self.kernel_size))
        was_frozen = holds_frozen(freeze(self))
        block: Any = super()
        block.reparameterize()
        mark_fused(self.reparam_conv, was_frozen)


class FusableBlock(_SquareBlock, fastvit.MobileOneBlock):
    """Sum of convolutions and an identity, each with a batch norm."""


class FusableMixer(_SquareBlock, fastvit.RepMixer):
    """x + scale * (mixer(x) - norm(x))."""

    def set_size(self, size: int) -> None:
        """Set the size of the mixer's kernel, also for the norm."""
        self.kernel_size = self.norm.kernel_size = size


class FusablePatchConv(_SquareBlock, fastvit.ReparamLargeKernelConv):
    """Sum of a large and a small convolution, each with a batch norm."""

    small_conv: Any

    def set_size(self, size: int) -> None:
        """Set the sizes of both kernels."""
        self.kernel_size = size
        if self.small_kernel is not None:
            self.small_kernel = self.small_conv.conv.kernel_size[0]


_FUSABLE_CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    fastvit.RepConditionalPosEnc: FusablePositionalEncoding,
    fastvit.MobileOneBlock: FusableBlock,
    fastvit.RepMixer: FusableMixer,
    fastvit.ReparamLargeKernelConv: FusablePatchConv,
}


def _fuse(module: nn.Module) -> None:
    """Fuse the branches of a block, or the batch norm of a conv-MLP; blocks with oblong kernels stay."""
    block: Any = module
    if type(module) in _FUSABLE_CLASSES.values() and block.reparam_conv is None:
        if isinstance(module, FusablePositionalEncoding) or not _is_oblong(module):
            block.reparameterize()
    elif isinstance(module, fastvit.ConvMlp) and isinstance(block.conv, ConvNormAct):
        _fuse_norm(block)


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


def _fuse_norm(block: Any) -> None:
    """Put the batch norm of a conv-MLP into the convolution before it."""
    conv, norm = block.conv.conv, block.conv.bn
    statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    block.conv = set_weights(conv, *fuse_conv_bn_weights(conv.weight, conv.bias, *statistics))


FASTVIT = Family(
    title="FastViT",
    prefix="fastvit_",
    argument_names=override_arguments("mlp_ratios", "cls_ratio", "proj_drop_rate", depths="layers", dims="embed_dims"),
    layer_scale_key="layer_scale_init_value",
    stem_convolution="stem",
    min_map_size=1,
    replace_stem=_replace_stem,
    create=_create,
    fusable_classes=_FUSABLE_CLASSES,
    fuse=_fuse,
    layer_scales={
        fastvit.RepMixerBlock: (("layer_scale", "mlp.fc2"),),
        fastvit.AttentionBlock: (("layer_scale_1", "token_mixer.proj"), ("layer_scale_2", "mlp.fc2")),
    },
    authors_layout=AuthorsLayout(
        member="fastvit_sa24",
        block=re.compile(r"network\.(\d+)\.(\d+)\.convffn\.fc2\.weight"),
        stem="patch_embed.weight",
        head="head.weight",
        rename=fastvit.checkpoint_filter_fn,
    ),
)
