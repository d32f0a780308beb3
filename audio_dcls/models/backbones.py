"""timm's backbones, adapted to spectrograms."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from audio_dcls.errors import ArgumentError, ModelError
from audio_dcls.models.families import Family, find_family
from audio_dcls.models.stem import to_channels_last
from audio_dcls.near_names import did_you_mean

NUM_STAGES = 4


def build_backbone(
    name: str,
    num_classes: int,
    *,
    drop_path_rate: float = 0.0,
    head_dropout: float = 0.0,
    layer_scale_init: float | None = None,
    head_pooling: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> nn.Module:
    """A timm model with one input channel, the shared (2, 16) stem and `num_classes` outputs, randomly initialised.

    Args:
        name: timm's name of a ConvNeXt, ConvFormer or FastViT, with or without a tag.
        num_classes: outputs, at least 1.
        drop_path_rate: probability of skipping the last block, linear over depth, in [0, 1).
        head_dropout: dropout before the classifier, in [0, 1).
        layer_scale_init: initial value of the layer scale; None keeps timm's.
        head_pooling: "avg", "max" or "avgmax"; None keeps timm's.
        overrides: sizes that differ from the named model's, under the names of `ModelConfig.overrides`.

    Shape:
        of the model: (B, 1, M, F) -> (B, num_classes).

    Raises:
        ModelError: the name or an override is unknown, or the sizes do not fit together.
        ArgumentError: `num_classes` below 1.

    >>> build_backbone("convnext_atto", 5, overrides={"depths": [1, 1, 1, 1]})(torch.zeros(2, 1, 128, 201)).shape
    torch.Size([2, 5])
    """
    if num_classes < 1:
        raise ArgumentError(f"`num_classes` (={num_classes}) must be at least 1")
    family = find_family(name)
    arguments = _timm_arguments(family, name, overrides or {})
    arguments |= {
        "in_chans": 1,
        "num_classes": num_classes,
        "drop_path_rate": drop_path_rate,
        "drop_rate": head_dropout,
    }
    if layer_scale_init is not None:
        if family.layer_scale_key is None:
            raise ModelError(
                f"`model.layer_scale_init` (={layer_scale_init}) must be null for '{name}': a {family.title} has no "
                "layer scale"
            )
        arguments[family.layer_scale_key] = layer_scale_init
    if head_pooling is not None:
        arguments["global_pool"] = head_pooling
    try:
        backbone = family.create(name.partition(".")[0], arguments)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"`model.overrides` (={overrides}) do not fit `model.name` (={name!r}): {error or 'timm refuses them'}; "
            "change the sizes, or leave them out"
        ) from error
    family.replace_stem(backbone, _first_stage_channels(backbone))
    to_channels_last(backbone)
    return backbone


def _timm_arguments(family: Family, name: str, overrides: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for key, value in overrides.items():
        if key not in family.argument_names:
            known = sorted(family.argument_names)
            hint = did_you_mean(key, known, f"{family.title} takes: {', '.join(known)}")
            raise ModelError(f"`model.overrides` of '{name}' has the unknown key '{key}'; {hint}")
        if key in ("depths", "dims"):
            value = _check_sizes(key, value)
        arguments[family.argument_names[key]] = value
    return arguments


def _check_sizes(key: str, value: Any) -> tuple[int, ...]:
    is_list = isinstance(value, (list, tuple)) and len(value) == NUM_STAGES
    if not is_list or not all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in value):
        raise ModelError(
            f"`model.overrides.{key}` (={value!r}) must be {NUM_STAGES} integers of at least 1, one per stage"
        )
    return tuple(value)


def _first_stage_channels(backbone: nn.Module) -> int:
    feature_info: Any = backbone.feature_info
    return int(feature_info[0]["num_chs"])


def stage_maps(backbone: nn.Module, spectrograms: torch.Tensor) -> list[torch.Tensor]:
    """The output map of each stage.

    Args:
        backbone: a model of `build_backbone`.
        spectrograms: normalised log-mel spectrograms.

    Shape:
        (B, 1, M, F) -> [(B, C_s, H_s, W_s) for each stage s].

    >>> backbone = build_backbone("convnext_atto", 5, overrides={"depths": [1, 1, 1, 1]})
    >>> [tuple(map.shape[1:]) for map in stage_maps(backbone, torch.zeros(1, 1, 128, 1001))]
    [(40, 64, 62), (80, 32, 31), (160, 16, 15), (320, 8, 7)]
    """
    maps: list[torch.Tensor] = []
    x = backbone.get_submodule("stem")(spectrograms)
    for stage in backbone.get_submodule("stages").children():
        x = stage(x)
        maps.append(x)
    return maps
