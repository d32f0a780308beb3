"""Capabilities of a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from audio_dcls.errors import ArgumentError

_BF16_OF_X86 = ("avx512_bf16", "avx10_2", "amx_tile", "amx_bf16")
_BF16_OF_ARM = ("arm_bf16", "bf16")


def find_device(device: torch.device | str) -> torch.device:
    """The device with a name; `ArgumentError` if this machine does not have it."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        detail = str(error).splitlines()[0] if str(error) else "no such device"
        raise ArgumentError(
            f"`device` (={str(device)!r}) cannot be used: {detail}; use 'cpu', or 'cuda' where there is a GPU"
        ) from error
    return found


def has_bf16(device: torch.device) -> bool:
    """Return whether a device has bfloat16 instructions, so that bfloat16 makes it faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    return any(cpu_capabilities().get(name, False) for name in (*_BF16_OF_X86, *_BF16_OF_ARM))


def cpu_capabilities() -> Mapping[str, Any]:
    """Names of the processor's instruction sets, as torch finds them."""
    find = getattr(torch.cpu, "get_capabilities", None)
    if find is not None:
        return find()
    return {"avx512_bf16": torch.cpu._is_avx512_bf16_supported()}  # before torch 2.10
