"""ConvFormer, a MetaFormer with separable convolutions (Yu et al., 2022, arXiv 2210.13452)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.models import metaformer
from torch import nn

from audio_dcls.models.families.family import AuthorsLayout, Family, create_timm_model, override_arguments
from audio_dcls.models.stem import PatchStem


def _replace_stem(backbone: nn.Module, num_channels: int) -> None:
    """Replace the convolution of the stem, without a bias; the backbone's norm after it stays."""
    backbone.get_submodule("stem").conv = PatchStem(num_channels, bias=False)


def _create(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """timm's model of that name or, for other sizes, which timm's ConvFormers do not accept, one of its class."""
    if not {"depths", "dims"} & arguments.keys():
        return create_timm_model(architecture, arguments)
    with torch.device("meta"):
        named: Any = timm.create_model(architecture)
    sizes = {
        "depths": tuple(len(stage.blocks) for stage in named.stages),
        "dims": tuple(stage["num_chs"] for stage in named.feature_info),
    }
    return metaformer.MetaFormer(
        token_mixers=metaformer.SepConv, norm_layers=metaformer.LayerNorm2dNoBias, **(sizes | dict(arguments))
    )


CONVFORMER = Family(
    title="ConvFormer",
    prefix="convformer_",
    argument_names=override_arguments("depths", "dims", "proj_drop_rate", "use_mlp_head"),
    layer_scale_key="layer_scale_init_values",
    stem_convolution="stem.conv",
    min_map_size=1,
    replace_stem=_replace_stem,
    create=_create,
    authors_layout=AuthorsLayout(
        member="convformer_s18",
        block=re.compile(r"stages\.(\d+)\.(\d+)\.norm1\.weight"),
        stem="downsample_layers.0.conv.weight",
        head="head.fc2.weight",
        rename=metaformer.checkpoint_filter_fn,
    ),
)
