"""Split the effective batch over processes and forward passes.

Axes: B clips, T samples, C classes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from torch import nn

from audio_dcls.errors import ConfigError
from audio_dcls.runs.config import TrainConfig

PROBE_BATCHES = (2, 4)
"""Clips in two trial passes; the difference of their memory gives the memory of one clip on a CPU."""
CPU_SHARE = 0.6
"""Share of the free memory that a pass may use on a CPU, where running out of memory cannot be caught."""


def check_one_step(config: TrainConfig, num_clips: int) -> None:
    """Check that the training set has enough clips for one step. Raises `ConfigError` if there are fewer clips than
    `loop.effective_batch`.
    """
    batch = config.loop.effective_batch
    if num_clips < batch:
        raise ConfigError(
            f"`loop.effective_batch` (={batch}) must be at most the number of usable training clips (={num_clips}); "
            "lower it, with `loop.per_device_batch`, or give more clips"
        )


@dataclass(frozen=True)
class BatchLayout:
    """Clips of one optimiser step: processes x clips in a pass x accumulated passes.

    >>> print(BatchLayout(num_processes=2, per_device_batch=4, accumulation=3))
    24 clips per step = 2 processes x 4 clips x 3 accumulated
    """

    num_processes: int
    per_device_batch: int
    """Clips in one forward and backward pass of a process."""
    accumulation: int
    """Passes of a process per step."""

    @property
    def effective_batch(self) -> int:
        """Clips in a step."""
        return self.num_processes * self.per_device_batch * self.accumulation

    def __str__(self) -> str:
        noun = "process" if self.num_processes == 1 else "processes"
        return (
            f"{self.effective_batch} clips per step = {self.num_processes} {noun} x {self.per_device_batch} clips x "
            f"{self.accumulation} accumulated"
        )


def possible_batches(config: TrainConfig, num_processes: int) -> list[int]:
    """Per-device batches that divide the effective batch and split no mixup group, largest first. Raises `ConfigError`
    if there is no such batch.

    >>> possible_batches(TrainConfig(), 32)[:3]
    [128, 64, 32]
    """
    effective, group = config.loop.effective_batch, config.augment.mixup_group_clips
    own, remainder = divmod(effective, num_processes)
    if remainder:
        raise ConfigError(
            f"`loop.effective_batch` (={effective}) must be a multiple of the number of processes (={num_processes}): "
            f"change it to {own * num_processes or num_processes}, or start another number of processes"
        )
    is_mixed = config.augment.mixup_alpha > 0
    fits = [
        batch
        for batch in range(own, 0, -1)
        if own % batch == 0 and (not is_mixed or batch == effective or batch % group == 0)
    ]
    if not fits:
        raise ConfigError(
            f"`loop.effective_batch` (={effective}) over {num_processes} processes leaves {own} clips each, which "
            f"`augment.mixup_group_clips` (={group}) does not divide: lower the group size"
        )
    return fits


def build_layout(config: TrainConfig, num_processes: int, per_device_batch: int | None = None) -> BatchLayout:
    """The layout of a config on a number of processes over all machines.

    `per_device_batch` replaces the config's value, for example if that is "auto". Raises `ConfigError` if processes x
    clips does not divide the effective batch.
    """
    batch = per_device_batch or config.loop.per_device_batch
    possible = possible_batches(config, num_processes)
    if batch == "auto":
        batch = possible[0]
    if batch not in possible:
        raise ConfigError(
            f"`loop.effective_batch` (={config.loop.effective_batch}) must be a multiple of {num_processes} processes "
            f"x `loop.per_device_batch` (={batch}); per-device batches that fit: {', '.join(map(str, possible[:8]))}"
        )
    return BatchLayout(num_processes, batch, config.loop.effective_batch // (num_processes * batch))


def find_per_device_batch(fabric: Any, model: nn.Module, config: TrainConfig, num_classes: int) -> int:
    """The largest per-device batch whose forward and backward pass fits into the memory of every process.

    On a GPU, batches are tried, largest first. On a CPU, where running out of memory would end the process, the memory
    of one clip is measured and compared with the free memory. The estimate includes the optimiser's state. The model
    does not change. The fabric must be launched, and the model must be on its device. Raises `ConfigError` if not even
    the smallest batch fits.
    """
    possible = possible_batches(config, fabric.world_size)
    with _unchanged(model):
        if fabric.device.type == "cuda":
            found = next((b for b in possible if _fits_gpu(fabric, model, config, num_classes, b)), 0)
        else:
            most = _most_on_cpu(fabric, model, config, num_classes)
            found = next((b for b in possible if b <= most), 0)
    if fabric.world_size > 1:
        smallest = fabric.all_reduce(torch.tensor(-float(found), device=fabric.device), reduce_op="max")
        found = round(-float(smallest))
    if not found:
        raise ConfigError(
            f"not even {possible[-1]} clips fit into the memory of '{fabric.device}' (`loop.per_device_batch` is "
            "'auto'); use a smaller model, or bf16 precision"
        )
    return found


def _pass(fabric: Any, model: nn.Module, config: TrainConfig, num_classes: int, batch: int) -> None:
    waveforms = torch.zeros(batch, config.frontend.clip_samples, device=fabric.device)
    with fabric.autocast():
        logits = model(waveforms)
    F.binary_cross_entropy_with_logits(logits.float(), torch.zeros(batch, num_classes, device=fabric.device)).backward()


def _fits_gpu(fabric: Any, model: nn.Module, config: TrainConfig, num_classes: int, batch: int) -> bool:
    try:
        reserve = [torch.empty_like(p) for p in model.parameters() for _ in range(2)]
        _pass(fabric, model, config, num_classes, batch)
        del reserve
    except torch.OutOfMemoryError:
        return False
    finally:
        model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
    return True


def _most_on_cpu(fabric: Any, model: nn.Module, config: TrainConfig, num_classes: int) -> int:
    """Clips whose saved activations fill `CPU_SHARE` of the free memory."""
    kept = []
    for batch in PROBE_BATCHES:
        storages: dict[int, int] = {}

        def pack(tensor: torch.Tensor, storages: dict[int, int] = storages) -> torch.Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            _pass(fabric, model, config, num_classes, batch)
        model.zero_grad(set_to_none=True)
        kept.append(sum(storages.values()))
    clip_bytes = max((kept[1] - kept[0]) / (PROBE_BATCHES[1] - PROBE_BATCHES[0]), 1.0)
    state_bytes = 3 * sum(p.numel() * p.element_size() for p in model.parameters())
    free_bytes = psutil.virtual_memory().available / max(1, fabric.world_size)
    return int((CPU_SHARE * free_bytes - state_bytes) / clip_bytes)


@contextlib.contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Restore buffers, mode and random generators after the body."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    was_training = model.training
    model.train()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            model.train(was_training)
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)
