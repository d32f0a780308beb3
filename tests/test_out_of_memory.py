"""Every way in which memory runs out is recognised by its real error."""

from __future__ import annotations

import errno
import subprocess
import sys

import numpy as np
import pytest
import torch

from audio_dcls.out_of_memory import describe_out_of_memory

HUGE = 1 << 60


@pytest.mark.parametrize(
    "allocate", [lambda: torch.empty(HUGE // 4), lambda: np.empty(HUGE, np.uint8), lambda: bytearray(HUGE)]
)
def test_an_allocation_that_fails_is_described(allocate) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate()
    message = describe_out_of_memory(caught.value)
    assert message is not None and message.startswith("memory ran out") and "smaller batch" in message


def test_the_system_and_the_gpu_are_recognised_too() -> None:
    assert "memory ran out" in (describe_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory")) or "")
    assert "GPU" in (describe_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB")) or "")


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), OSError(errno.ENOENT, "no such file"), ValueError("x")]
)
def test_other_errors_are_not(error: Exception) -> None:
    assert describe_out_of_memory(error) is None


def test_the_check_does_not_load_torch() -> None:
    program = (
        "import sys\nfrom audio_dcls.out_of_memory import describe_out_of_memory\n"
        "assert describe_out_of_memory(FileNotFoundError(2, 'x')) is None and 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
