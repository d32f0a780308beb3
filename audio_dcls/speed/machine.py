"""A description of the machine, and the speed of its matrix products."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from audio_dcls.speed.timing import time_interleaved

_PEAK_SIZE = {"cpu": 2048, "cuda": 8192}
_SLOW_MS = 1000.0
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Processor, accelerator, threads and versions."""
    machine: dict[str, Any] = {
        "processor": _processor_name(),
        "architecture": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "timm", "llvmlite")},
    }
    if device.type == "cuda":
        machine["accelerator"] = torch.cuda.get_device_name(device)
    return machine


def measure_peaks(device: torch.device, precisions: Sequence[str], num_rounds: int) -> dict[str, float]:
    """Speed of a large square matrix product in each precision, in billions of operations per second.

    (S, S) times (S, S), S = 2048 on a CPU and 8192 on CUDA, or an eighth of that if such a product would take longer
    than a second, as in bfloat16 on processors without instructions for it.
    """
    largest = _PEAK_SIZE.get(device.type, _PEAK_SIZE["cpu"])
    peaks = {}
    for name in precisions:
        small, large = (torch.randn(size, size).to(device, DTYPES[name]) for size in (largest // 8, largest))
        (small_ms,) = time_interleaved({name: lambda a=small: a @ a}, 1, device, num_warmups=1).values()
        factor = large if 8**3 * small_ms[0] < _SLOW_MS else small
        (times_ms,) = time_interleaved({name: lambda a=factor: a @ a}, num_rounds, device, num_warmups=3).values()
        peaks[name] = 2 * factor.shape[0] ** 3 / (1e6 * min(times_ms))
    return peaks


def _processor_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
