"""Decoders that behave as with a hostile file; worker processes import them."""

from __future__ import annotations

import os
import signal
import time
from unittest import mock

import numpy as np

from audio_dcls.service.tagging import decode_worker
from audio_dcls.service.tagging.decode_worker import DecodeLimits


def spin(_path: str, _out: str, _name: str, _rate_hz: int, limits: DecodeLimits) -> int:
    """Compute without end."""
    decode_worker._limit_cpu(limits.cpu_s)
    while True:
        pass


def wait(_path: str, _out: str, _name: str, _rate_hz: int, _limits: DecodeLimits) -> int:
    """Sleep longer than any test."""
    time.sleep(600)
    return 0


def hoard(path: str, out: str, name: str, rate_hz: int, limits: DecodeLimits) -> int:
    """Allocate a gigabyte."""
    with mock.patch.object(decode_worker, "_decode", side_effect=lambda *_: int(np.ones(130_000_000).sum())):
        return decode_worker.decode_upload(path, out, name, rate_hz, limits)


def die(_path: str, _out: str, _name: str, _rate_hz: int, _limits: DecodeLimits) -> int:
    """End the process as a fault of the decoder would."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0
