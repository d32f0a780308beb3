"""From logits to probabilities: independent classes, or one class out of all.

Axis legend: B clips, C classes.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from audio_dcls.errors import CheckpointError

Activation = Literal["sigmoid", "softmax"]


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """Probabilities (B, C) in float32 from logits (B, C).

    `sigmoid` is for models whose classes are independent, `softmax` for those trained by cross-entropy.

    >>> import torch
    >>> activate(torch.zeros(1, 4), "sigmoid").tolist(), activate(torch.zeros(1, 4), "softmax").tolist()
    ([[0.5, 0.5, 0.5, 0.5]], [[0.25, 0.25, 0.25, 0.25]])
    """
    logits = logits.float()
    return logits.softmax(1) if activation == "softmax" else logits.sigmoid()


def stored_activation(info: dict[str, Any], source: object) -> Activation:
    """The activation that a checkpoint's JSON names, by default the sigmoid; `CheckpointError` for an unknown one."""
    activation = info.get("activation", "sigmoid")
    if activation not in ("sigmoid", "softmax"):
        raise CheckpointError(
            f"checkpoint '{source}' was trained with the activation '{activation}', which this program does not have; "
            "upgrade audio-dcls"
        )
    return activation
