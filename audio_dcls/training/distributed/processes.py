"""The processes of a training on one or several machines, with Lightning Fabric."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from audio_dcls.errors import ConfigError
from audio_dcls.runs.config import LoopConfig


def build_fabric(loop: LoopConfig) -> Fabric:
    """Build the fabric for the config and the launcher; call its `launch()` before anything else.

    Under torchrun and Slurm's `srun` the launcher decides the number of processes; otherwise `loop.devices` does.
    Raises `ConfigError` if the launcher and the config contradict each other.
    """
    devices, num_nodes = _layout(loop)
    is_cpu = loop.accelerator == "cpu" or (loop.accelerator == "auto" and not _has_accelerator())
    if devices == "auto" and is_cpu:
        devices = 1
    is_single = devices == 1 and num_nodes == 1
    strategy = "auto" if is_single else DDPStrategy(process_group_backend="gloo" if is_cpu else None)
    return Fabric(
        accelerator="cpu" if is_cpu else loop.accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        precision="bf16-mixed" if loop.precision == "bf16" else "32-true",
    )


def _has_accelerator() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _layout(loop: LoopConfig) -> tuple[Any, int]:
    """Processes per machine, and number of machines, from the launcher's environment or the config."""
    if "LOCAL_WORLD_SIZE" in os.environ and "WORLD_SIZE" in os.environ:  # torchrun
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        launcher = "torchrun"
    elif "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        world, nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ.get("SLURM_NNODES", "1"))
        local, launcher = world // nodes, "Slurm"
    else:
        return loop.devices, 1
    if loop.devices not in ("auto", local):
        raise ConfigError(
            f"`loop.devices` (={loop.devices}) must be 'auto', or the {local} processes per machine that {launcher} "
            "started; leave it out, or start as many processes"
        )
    return local, world // local


def sum_over_processes(fabric: Any, value: torch.Tensor) -> torch.Tensor:
    """Sum a tensor over all processes; every process gets the sum."""
    return fabric.all_reduce(value, reduce_op="sum") if fabric.world_size > 1 else value


@contextlib.contextmanager
def one_after_the_first(fabric: Any) -> Iterator[None]:
    """Run the body on rank 0, then on the other processes, which can read the files that rank 0 has written."""
    if not fabric.is_global_zero:
        fabric.barrier()
    yield
    if fabric.is_global_zero:
        fabric.barrier()
