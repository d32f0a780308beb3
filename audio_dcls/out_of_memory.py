"""One message for the ways in which Python, NumPy and torch say that memory ran out."""

from __future__ import annotations

import errno

_TORCH_CPU_TEXT = "DefaultCPUAllocator: "


def describe_out_of_memory(error: BaseException) -> str | None:
    """The message for a user if an error means that memory ran out, with its remedy; None for every other error.

    >>> describe_out_of_memory(ValueError("7")) is None
    True
    """
    if type(error).__name__ == "OutOfMemoryError":  # torch's, by its name: a command without torch must not load it
        return (
            f"the GPU's memory ran out ({str(error).splitlines()[0]}); use a smaller batch or a smaller model, or end "
            "other programs that use the GPU"
        )
    is_torch_cpu = isinstance(error, RuntimeError) and _TORCH_CPU_TEXT in str(error)
    is_system = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if not (isinstance(error, MemoryError) or is_torch_cpu or is_system):
        return None
    detail = str(error).partition(_TORCH_CPU_TEXT)[2] if is_torch_cpu else str(error)
    return (
        f"memory ran out ({detail.splitlines()[0] if detail else 'no size is known'}); use a smaller batch, fewer "
        "workers or shorter sounds, or end other programs; a training continues with --resume"
    )
