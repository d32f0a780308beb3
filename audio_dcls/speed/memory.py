"""Peak memory of a training step, measured in a separate process."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import re
import resource
import sys
from pathlib import Path

import torch

from audio_dcls.speed.steps import make_train_step

_NUM_STEPS = 2
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MIB = 2**20


def measure_step_memory(peer: str, model_name: str, batch: int, precision: str, device: str, num_threads: int) -> float:
    """Peak memory of model, gradients, optimiser state and one training step in a new process, in MiB.

    On a CPU it is the peak of the process's resident memory minus its memory before the model was made; on CUDA it is
    the peak of torch's allocations.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, peer, model_name, batch, precision, device, num_threads).result()


def _measure(peer: str, model_name: str, batch: int, precision: str, device: str, num_threads: int) -> float:
    torch.set_num_threads(num_threads)
    before = resident_mib("VmRSS")
    step = make_train_step(peer, model_name, batch, precision, torch.device(device))
    step()  # generates code, fills caches, makes the optimiser's state
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        _CLEAR.write_text("5")  # resets the peak that the kernel reports
    for _ in range(_NUM_STEPS):
        step()
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / _MIB
    return resident_mib("VmHWM") - before


def resident_mib(field: str) -> float:
    """This process's current ("VmRSS") or peak ("VmHWM") resident memory, in MiB.

    Without /proc it is always `ru_maxrss`, a peak that starts at the memory of the parent process.
    """
    if _STATUS.exists():
        found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return int(found.group(1)) / 1024
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (_MIB if sys.platform == "darwin" else 1024)
