"""Distance of each parameter of a backbone from the classifier, for learning rates that fall with depth."""

from __future__ import annotations

import re

from torch import nn

_BLOCK = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.")
_STAGE = re.compile(r"stages\.(\d+)\.")


def depths_from_head(backbone: nn.Module) -> dict[str, int]:
    """Number of layers between each parameter and the output: from 0 to the number of blocks + 1.

    Each block is one layer, and so is the stem. What comes before the first block of a stage belongs to that block.
    Everything after the last stage (norms, final convolution, classifier) has depth 0. A parameter that several layers
    share has the depth of the layer that is farthest from the output.

    >>> from audio_dcls.models.backbones import build_backbone
    >>> depths = depths_from_head(build_backbone("convnext_atto", 5, overrides={"depths": [1, 1, 2, 1]}))
    >>> [depths[f"{name}.weight"] for name in ("head.fc", "stages.2.blocks.1.conv_dw", "stages.0.blocks.0.conv_dw")]
    [0, 2, 5]
    """
    names = [name for name, _ in backbone.named_parameters()]
    blocks = sorted({_block(match) for name in names if (match := _BLOCK.match(name))})
    layer_of = {block: layer for layer, block in enumerate(blocks, start=1)}
    last = len(blocks) + 1

    def layer(name: str) -> int:
        if name.startswith("stem."):
            return 0
        block, stage = _BLOCK.match(name), _STAGE.match(name)
        if block is not None:
            return layer_of[_block(block)]
        return last if stage is None else layer_of[int(stage[1]), 0]

    return {name: last - layer(name) for name in names}


def _block(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2])
