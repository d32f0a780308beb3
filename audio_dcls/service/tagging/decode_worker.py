"""Decode an upload in a worker process, under limits: a hostile file can at worst end the worker.

Every worker imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import soundfile

from audio_dcls.data.sound.sound_stream import FileSound, resampled_blocks
from audio_dcls.data.sound.video_audio import is_video
from audio_dcls.errors import AudioFileError

try:
    import resource
except ImportError:  # not a POSIX system; the parent process still limits the time
    resource = None


@dataclass(frozen=True)
class DecodeLimits:
    """Limits for decoding one upload."""

    max_duration_s: float
    max_channels: int
    cpu_s: float
    """Processor time per file."""
    memory_mb: float
    """Memory in addition to the program itself, in 10^6 bytes."""


def set_up_worker(limits: DecodeLimits, sample_rate_hz: int) -> None:
    """Limit the memory of this process and the files that it writes."""
    if resource is None:
        return
    own = psutil.Process().memory_info().vms
    max_file_bytes = int(limits.max_duration_s * sample_rate_hz * 4 * 1.1) + 2**20
    _limit(resource.RLIMIT_AS, own + int(limits.memory_mb * 1e6))
    _limit(resource.RLIMIT_FSIZE, max_file_bytes)
    _limit(resource.RLIMIT_CORE, 0)


def decode_upload(path: str, out: str, name: str, sample_rate_hz: int, limits: DecodeLimits) -> int:
    """Decode a file to float32 samples at another rate, written without a header; returns their number, at least 1.

    Raises AudioFileError if the file is not sound, is too long, or exceeds a limit.
    """
    _limit_cpu(limits.cpu_s)
    try:
        return _decode(Path(path), Path(out), sample_rate_hz, limits)
    except AudioFileError as error:
        raise AudioFileError(str(error).replace(f"'{path}'", f"'{name}'"), reason=error.reason) from None
    except MemoryError:
        message = f"'{name}' takes more than {limits.memory_mb:g} MB to decode; convert it to wav or flac"
        raise AudioFileError(message, reason="too_large") from None


def _decode(path: Path, out: Path, sample_rate_hz: int, limits: DecodeLimits) -> int:
    _check_header(path, limits)
    max_samples = round(limits.max_duration_s * sample_rate_hz)
    num_samples = 0
    with out.open("wb") as file:
        for block in resampled_blocks(FileSound(path), sample_rate_hz=sample_rate_hz):
            num_samples += len(block)
            if num_samples > max_samples:
                raise _too_long(path, limits.max_duration_s)
            file.write(block.astype(np.float32, copy=False).data)
    if not num_samples:
        message = f"'{path}' is shorter than one sample at {sample_rate_hz} Hz; record it again"
        raise AudioFileError(message, reason="empty")
    return num_samples


def _check_header(path: Path, limits: DecodeLimits) -> None:
    """Refuse a file by its header if possible; a file that libsndfile cannot open is reported by the decoder."""
    if is_video(path):
        return
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, TypeError, OSError):
        return
    if info.channels > limits.max_channels:
        message = f"'{path}' has {info.channels} channels, more than {limits.max_channels}; mix it down first"
        raise AudioFileError(message, reason="too_large")
    if info.samplerate > 0 and info.frames / info.samplerate > limits.max_duration_s:
        raise _too_long(path, limits.max_duration_s)


def _too_long(path: Path, max_s: float) -> AudioFileError:
    return AudioFileError(f"'{path}' is longer than {max_s:g} s, the longest sound allowed; cut it", reason="too_long")


def _limit_cpu(more_s: float) -> None:
    """Make the system end this process once it has used this much more processor time."""
    if resource is not None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime + more_s) + 1)


def _limit(kind: int, value: int) -> None:
    """Lower a soft limit to `value`, if the system allows it."""
    assert resource is not None
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(kind)
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (soft, hard))
