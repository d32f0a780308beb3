"""Decode uploads in worker processes, so that a hostile file cannot end the service.

T samples of an upload.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from audio_dcls.errors import AudioFileError
from audio_dcls.service.settings import ServiceSettings
from audio_dcls.service.tagging.decode_worker import DecodeLimits, decode_upload, set_up_worker

_MAX_RATE_HZ = 48_000
"""It limits the size of the files that a worker may write; models use 32 kHz."""


@dataclass(frozen=True, eq=False)
class DecodedSound:
    """An upload at a model's rate; its samples are mapped from a temporary file."""

    name: str
    samples: np.ndarray
    """(T,) float32."""
    sample_rate_hz: int


class Decoder:
    """The worker processes, and the folder for uploads and their samples."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.spool = settings.state_dir / "spool"
        self.limits = DecodeLimits(
            max_duration_s=settings.max_duration_s,
            max_channels=settings.max_channels,
            cpu_s=settings.decode_cpu_s,
            memory_mb=settings.decode_memory_mb,
        )
        self._pool: ProcessPool | None = None

    def start(self) -> None:
        """Empty the folder, which a killed service may have left full, and start the workers."""
        shutil.rmtree(self.spool, ignore_errors=True)
        self.spool.mkdir(parents=True, mode=0o700)
        self._pool = self._build_pool()

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
        shutil.rmtree(self.spool, ignore_errors=True)

    @contextlib.contextmanager
    def spooled(self) -> Iterator[Path]:
        """A path for an upload, with a random name; the file is removed at the end."""
        path = self.spool / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def decoded(self, path: Path, name: str, sample_rate_hz: int) -> AsyncIterator[DecodedSound]:
        """The samples of a file, while the body of the `with` statement runs.

        Raises AudioFileError if the file cannot be used, or exceeds a limit.
        """
        with self.spooled() as out:
            arguments = (str(path), str(out), name, sample_rate_hz, self.limits)
            try:
                num_samples = await self._run(arguments)
            except TimeoutError:
                message = f"'{name}' took longer than {self.settings.decode_wall_s:g} s to decode; convert it to wav"
                raise AudioFileError(message, reason="unreadable") from None
            except (ProcessExpired, BrokenProcessPool):  # the second if the worker ended at once
                message = (
                    f"'{name}' ended the process that decoded it: it is damaged, or takes more than "
                    f"{self.limits.cpu_s:g} s to decode; convert it to wav or flac"
                )
                raise AudioFileError(message, reason="unreadable") from None
            samples = np.memmap(out, dtype=np.float32, mode="r", shape=(num_samples,))
            yield DecodedSound(name, samples, sample_rate_hz)

    async def _run(self, arguments: tuple[Any, ...]) -> int:
        """Decode in a worker; if the pool was broken already, in a new pool."""
        for is_last in (False, True):
            pool = self._pool
            assert pool is not None, "start() comes first"
            try:
                return await asyncio.wrap_future(_schedule(pool, arguments, self.settings.decode_wall_s))
            except BrokenProcessPool:
                if is_last:
                    raise
                if self._pool is pool:
                    self._pool = self._build_pool()
        raise AssertionError("unreachable")

    def _build_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self.settings.decode_workers,
            initializer=set_up_worker,
            initargs=(self.limits, _MAX_RATE_HZ),
            context=multiprocessing.get_context("spawn"),
        )


def _schedule(pool: ProcessPool, arguments: tuple[Any, ...], timeout_s: float) -> ProcessFuture[int]:
    try:
        return pool.schedule(decode_upload, args=arguments, timeout=timeout_s)
    except RuntimeError as error:  # the pool was broken before
        raise BrokenProcessPool(str(error)) from error
