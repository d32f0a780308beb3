"""The authors' models: their DCLS layers inside timm's backbones, and state dicts under their original names.

Shared positions are shared as theirs are, by the width of the layers in the order of the model.
"""

from __future__ import annotations

import re
from typing import Any

import timm
import torch
from DCLS.construct.modules import Dcls2d
from timm.models.metaformer import LayerNorm2dNoBias, MetaFormer, SepConv
from torch import nn

RENAMES = {
    "convnext": [
        (r"^stem\.", "downsample_layers.0."),
        (r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
        (r"^stages\.(\d+)\.blocks\.", r"stages.\1."),
        (r"\.conv_dw\.", ".dwconv."),
        (r"\.mlp\.fc", ".pwconv"),
        (r"^head\.norm\.", "norm."),
        (r"^head\.fc\.", "head."),
    ],
    "convformer": [
        (r"^stem\.conv\.", "downsample_layers.0.conv."),
        (r"^stem\.norm\.", "downsample_layers.0.post_norm."),
        (r"^stages\.(\d+)\.downsample\.norm\.", r"downsample_layers.\1.pre_norm."),
        (r"^stages\.(\d+)\.downsample\.conv\.", r"downsample_layers.\1.conv."),
        (r"^stages\.(\d+)\.blocks\.", r"stages.\1."),
        (r"^head\.norm\.", "norm."),
        (r"^head\.fc\.", "head."),
    ],
    "fastvit": [
        (r"^stem\.", "patch_embed."),
        (r"^stages\.1\.downsample\.", "network.1."),
        (r"^stages\.2\.downsample\.", "network.3."),
        (r"^stages\.3\.downsample\.", "network.5."),
        (r"^stages\.3\.pos_emb\.pos_enc\.", "network.6.pe."),
        (r"^stages\.0\.blocks\.", "network.0."),
        (r"^stages\.1\.blocks\.", "network.2."),
        (r"^stages\.2\.blocks\.", "network.4."),
        (r"^stages\.3\.blocks\.", "network.7."),
        (r"\.large_conv\.", ".lkb_origin."),
        (r"^final_conv\.", "conv_exp."),
        (r"\.conv_kxk\.", ".rbr_conv."),
        (r"\.conv_scale\.", ".rbr_scale."),
        (r"\.identity\.", ".rbr_skip."),
        (r"\.mlp\.", ".convffn."),
        (r"\.se\.fc1\.", ".se.reduce."),
        (r"\.se\.fc2\.", ".se.expand."),
        (r"\.layer_scale(_\d)?\.gamma$", r".layer_scale\1"),
        (r"^head\.fc\.", "head."),
    ],
}
POINTWISE = re.compile(r"stages\..*(pwconv\d|fc\d)\.weight")
"""Linear layers of the authors where timm may have a 1x1 convolution."""


def authors_model(
    name: str,
    generator: torch.Generator,
    *,
    swapped: bool,
    num_classes: int = 527,
    audio: bool = True,
    depths: tuple[int, ...] | None = None,
    dims: tuple[int, ...] | None = None,
    kernel_size: int = 23,
    kernel_count: int = 26,
    version: str = "gauss",
) -> nn.Module:
    """One of the authors' models under timm's names, with weights that let every entry speak."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(1 << 31, (1,), generator=generator)))
        model = _timm_model(name, num_classes, 1 if audio else 3, depths, dims)
        if audio:
            _put_audio_stem(model, name)
        if swapped:
            _replace_depthwise(model, kernel_size, kernel_count, version)
    with torch.no_grad():
        state = model.state_dict()
        for key, tensor in state.items():
            if key.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif re.search(r"gamma$|layer_scale", key):
                # More, and a deep model without training would make its roundings as large as its scores.
                tensor.uniform_(0.1, 0.3, generator=generator)
            elif key.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.1, generator=generator)
            elif key.endswith(".P"):
                tensor.normal_(0, kernel_size / 8, generator=generator)
            elif key.endswith(".SIG"):
                tensor.uniform_(-1.0, 1.0, generator=generator)
            elif key.endswith("weight") and tensor.ndim > 1:
                # Outputs as large as inputs, at any width.
                tensor.normal_(0, (tensor.shape[0] / tensor.numel()) ** 0.5, generator=generator)
    return model.eval()


def authors_state(model: nn.Module, name: str) -> dict[str, torch.Tensor]:
    """The model's entries under the authors' names and in their shapes."""
    state = {}
    for key, value in model.state_dict().items():
        for pattern, replacement in RENAMES[name.partition("_")[0]]:
            key = re.sub(pattern, replacement, key)
        state[key] = value.flatten(1) if POINTWISE.fullmatch(key) else value
    return state


def _timm_model(name, num_classes, num_channels, depths, dims) -> nn.Module:
    options = {"num_classes": num_classes, "in_chans": num_channels}
    if name.startswith("convformer") and dims is not None:
        return MetaFormer(
            token_mixers=SepConv, norm_layers=LayerNorm2dNoBias, use_mlp_head=True, depths=depths, dims=dims, **options
        )
    keys = ("layers", "embed_dims") if name.startswith("fastvit") else ("depths", "dims")
    sizes = {key: size for key, size in zip(keys, (depths, dims), strict=True) if size is not None}
    return timm.create_model(name, **sizes, **options)


def _put_audio_stem(model: Any, name: str) -> None:
    width = model.feature_info[0]["num_chs"]
    stem = nn.Conv2d(1, width, (2, 16), (2, 16), bias=name.startswith("convnext"))
    if name.startswith("fastvit"):
        model.stem = stem
    elif name.startswith("convformer"):
        model.stem.conv = stem
    else:
        model.stem[0] = stem


def _replace_depthwise(model: nn.Module, kernel_size: int, kernel_count: int, version: str) -> None:
    widest, shared = 0, {}
    for path, conv in list(model.named_modules()):
        if type(conv) is not nn.Conv2d or not conv.groups == conv.in_channels == conv.out_channels:
            continue
        if conv.kernel_size != (7, 7) or conv.stride != (1, 1):
            continue
        layer = Dcls2d(
            conv.in_channels,
            conv.out_channels,
            kernel_count=kernel_count,
            dilated_kernel_size=kernel_size,
            padding=kernel_size // 2,
            groups=conv.in_channels,
            version=version,
            bias=conv.bias is not None,
        )
        if conv.in_channels > widest:
            widest = conv.in_channels
            shared = {part: getattr(layer, part) for part in ("P", "SIG") if hasattr(layer, part)}
        for part, tensor in shared.items():
            setattr(layer, part, tensor)
        parent, _, last = path.rpartition(".")
        setattr(model.get_submodule(parent), last, layer)
