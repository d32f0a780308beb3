"""The sound of a microphone, through PortAudio (the extra `[mic]`)."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from audio_dcls.data.sound.sound_file import unusable
from audio_dcls.errors import ArgumentError
from audio_dcls.extras import need_package

_BLOCK_S = 0.25
WAIT_S = 5.0
"""A device that gives no sound for this long is gone."""


@dataclass(frozen=True)
class MicrophoneSound:
    """A recording of a microphone, mixed down to mono, at the device's own rate."""

    duration_s: float
    """Length of the recording, more than 0; infinity records until interrupted."""
    device: int | str | None = None
    """Number or part of the name of an input device (`python -m sounddevice` lists them); None is the default."""
    name: str = "microphone"

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Samples while they are recorded.

        Raise an ArgumentError if the extra is not installed, the time is not positive, or the device does not exist,
        and an AudioFileError (unreadable) if the device stops.
        """
        if not self.duration_s > 0:
            raise ArgumentError(f"`duration_s` (={self.duration_s}) must be more than 0 seconds")
        sounddevice = _portaudio()
        recorded: queue.Queue[np.ndarray] = queue.Queue()

        def take(frames: np.ndarray, _count: int, _time: object, _status: object) -> None:
            recorded.put(frames.mean(axis=1))

        try:
            rate_hz = round(sounddevice.query_devices(self.device, "input")["default_samplerate"])
            stream = sounddevice.InputStream(
                device=self.device,
                samplerate=rate_hz,
                blocksize=round(_BLOCK_S * rate_hz),
                dtype="float32",
                callback=take,
            )
            with stream:
                yield from self._listen(recorded, rate_hz)
        except (sounddevice.PortAudioError, ValueError) as error:
            raise ArgumentError(
                f"microphone {self.device!r} cannot be used ({error}); `python -m sounddevice` lists the devices"
            ) from error

    def _listen(self, recorded: queue.Queue[np.ndarray], rate_hz: int) -> Iterator[tuple[np.ndarray, int]]:
        left = self.duration_s * rate_hz
        while left >= 1:
            try:
                block = recorded.get(timeout=WAIT_S)
            except queue.Empty as error:
                problem = f"gave no sound for {WAIT_S:g} s; check that it is plugged in and not muted"
                raise unusable(self.name, "unreadable", problem) from error
            block = block[: int(min(left, len(block)))]
            left -= len(block)
            yield block.astype(np.float32, copy=False), rate_hz


def _portaudio() -> Any:
    """The module `sounddevice`; the package, or the system's library that it needs, may be missing."""
    try:
        return need_package("sounddevice", "mic")
    except OSError as error:
        message = f"a microphone needs the system's PortAudio library ({error}); on Debian: apt install libportaudio2"
        raise ArgumentError(message) from error
