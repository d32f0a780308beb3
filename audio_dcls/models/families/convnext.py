"""ConvNeXt (Liu et al., 2022, arXiv 2201.03545)."""

from __future__ import annotations

import re

from timm.models import convnext
from torch import nn

from audio_dcls.models.families.family import AuthorsLayout, Family, override_arguments
from audio_dcls.models.stem import PatchStem


def _replace_stem(backbone: nn.Module, num_channels: int) -> None:
    """Replace the convolution of the stem, with a bias; the backbone's channels-first LayerNorm after it stays."""
    norm = list(backbone.get_submodule("stem").children())[-1]
    backbone.stem = nn.Sequential(PatchStem(num_channels, bias=True), norm)


CONVNEXT = Family(
    title="ConvNeXt",
    prefix="convnext_",
    argument_names=override_arguments("depths", "dims", "kernel_sizes", "conv_mlp", "head_hidden_size"),
    layer_scale_key="ls_init_value",
    stem_convolution="stem.0",
    min_map_size=8,
    replace_stem=_replace_stem,
    layer_scales={convnext.ConvNeXtBlock: (("gamma", "mlp.fc2"),)},
    authors_layout=AuthorsLayout(
        member="convnext_tiny",
        block=re.compile(r"stages\.(\d+)\.(\d+)\.norm\.weight"),
        stem="downsample_layers.0.0.weight",
        head="head.weight",
        rename=convnext.checkpoint_filter_fn,
    ),
)
