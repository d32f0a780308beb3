"""Batch norm over the clips of all processes, on any device.

Axes: B clips of this process, C channels, D.. rows and columns.

torch's `SyncBatchNorm` runs on accelerators only. This one reduces sums and counts through autograd: it is slower, and
runs wherever processes can communicate.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as distributed
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class SyncedNorm(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, (B, C, D..) -> (B, C, D..), with training statistics over all processes."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise; in evaluation mode, or with one process, this equals `torch.nn.BatchNorm2d`."""
        return synced_norm(self, input)


class SyncedNormAct(BatchNormAct2d):
    """timm's `BatchNormAct2d`, a batch norm with its activation, over all processes: (B, C, D..) -> (B, C, D..)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate; in evaluation mode, or with one process, this equals timm's."""
        if not _is_synchronous(self):
            return super().forward(x)
        normalised: Tensor = synced_norm(self, x)
        return self.act(self.drop(normalised))  # pyright: ignore[reportCallIssue]


def _is_synchronous(norm: nn.Module) -> bool:
    return norm.training and distributed.is_initialized() and distributed.get_world_size() > 1


def synced_norm(norm: Any, x: Tensor) -> Tensor:
    """The output of a batch norm for `x`; in training its statistics are computed over all processes."""
    if not _is_synchronous(norm):
        return nn.BatchNorm2d.forward(norm, x)
    axes = [0, *range(2, x.ndim)]
    values = x.float()
    count = values.new_tensor([values.numel() / values.shape[1]])
    sums = torch.cat([values.sum(axes), count])
    sums = all_reduce(sums)
    total = sums[-1].detach()
    mean = sums[:-1] / total
    shape = [1, -1] + [1] * (x.ndim - 2)
    centred = values - mean.view(shape)
    variance = all_reduce(centred.square().sum(axes)) / total
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        _update(norm, mean.detach(), variance.detach() * total / (total - 1))
    result = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        result = result * norm.weight.view(shape) + norm.bias.view(shape)
    return result.to(x.dtype)


@torch.no_grad()
def _update(norm: Any, mean: Tensor, variance: Tensor) -> None:
    num_seen = 0 if norm.num_batches_tracked is None else int(norm.num_batches_tracked.add_(1))
    momentum = 1 / num_seen if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), momentum)


def synchronise_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """Make every batch norm of a model use all processes; parameters and their names stay the same."""
    if device.type == "cuda":
        return convert_sync_batchnorm(model)
    synced = {nn.BatchNorm2d: SyncedNorm, BatchNormAct2d: SyncedNormAct}
    for module in model.modules():
        if type(module) in synced:
            module.__class__ = synced[type(module)]
    return model
