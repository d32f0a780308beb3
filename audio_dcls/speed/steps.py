"""A training step and a forward pass of a peer, as functions without arguments.

Axes: B batch, C classes, M mels, F frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from audio_dcls.models import prepare_for_inference
from audio_dcls.speed.machine import DTYPES
from audio_dcls.speed.peers import build_peer, make_input, use_torch_convolutions

_LEARNING_RATE = 1e-6


def make_train_step(peer: str, model_name: str, batch: int, precision: str, device: torch.device) -> Callable[[], None]:
    """A forward pass, loss, backward pass and fused AdamW step, as in training; bf16 uses autocast."""
    model = build_peer(peer, model_name).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, fused=True)
    x, labels = make_input(batch, device)
    return train_step(model, optimizer, x.contiguous(memory_format=torch.channels_last), labels, precision)


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, targets: torch.Tensor, precision: str
) -> Callable[[], None]:
    """A training step of a model on one batch; bf16 uses autocast."""

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(x)
        F.binary_cross_entropy_with_logits(logits.float(), targets).backward()
        optimizer.step()

    return step


def forward_pass(model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """A forward pass of a model on one batch, in inference mode."""

    def infer() -> None:
        with torch.inference_mode():
            model(x)

    return infer


def make_inference(peer: str, model_name: str, batch: int, precision: str, device: torch.device) -> Callable[[], None]:
    """A forward pass of a peer in its usual form: prepared for inference, except for the authors' model.

    The additional peer "frozen" is the authors' model with its kernels built once, into torch's convolutions. In bf16
    the whole model and its input are bfloat16.
    """
    dtype = DTYPES[precision]
    model: nn.Module = build_peer("dcls" if peer == "frozen" else peer, model_name).eval()
    if peer != "authors":
        model = prepare_for_inference(model)
    if peer == "frozen":
        use_torch_convolutions(model)
    model = model.to(device, dtype)
    x = make_input(batch, device)[0].to(dtype)
    return forward_pass(model, x.contiguous(memory_format=torch.channels_last))
