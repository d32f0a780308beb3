"""Decoding by libsndfile: wav, flac, ogg (vorbis, opus), mp3, aiff and others; only the clip is decoded.

T samples at the file's own rate, C channels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from audio_dcls.data.sound.container import UNKNOWN_FRAMES, promised_frames
from audio_dcls.data.sound.sound_file import (
    beyond_the_end,
    cannot_be_read,
    check_is_whole,
    check_rate,
    downmix,
    no_frame,
)
from audio_dcls.data.sound.stored_sound import EncodedSound, sound_name
from audio_dcls.errors import AudioFileError

BLOCK_SAMPLES = 2**23
"""Samples decoded at once, 95 s of stereo at 44.1 kHz: an hour is mixed down piece by piece."""

STREAM_SAMPLES = 2**19
"""The same where a file is given piece by piece, 6 s of stereo at 44.1 kHz."""


def decode_sndfile(path: Path | EncodedSound, start_s: float | None, end_s: float | None) -> tuple[np.ndarray, int]:
    """Decode a clip, mixed down to mono.

    Args:
        path: the file, or its bytes.
        start_s: where the clip starts; None is the file's beginning.
        end_s: where it ends; None is the file's end.

    Returns:
        The waveform (T,) float32, and its rate in Hz.

    Raises:
        AudioFileError: reason empty, unreadable or out_of_range.
    """
    with _opened(path) as sound:
        rate_hz = sound.samplerate
        promised = promised_frames(sound, path)
        total = sound.frames if promised is None else promised
        first = round((start_s or 0.0) * rate_hz)
        last = total if end_s is None else min(round(end_s * rate_hz), total)
        if first >= total:
            raise beyond_the_end(path, total / rate_hz, start_s)
        waveform = _read_mono(sound, first, min(last, sound.frames))
        if promised is not None:
            check_is_whole(len(waveform), last - first, rate_hz, path)
    return waveform, rate_hz


def sndfile_blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """A whole file piece by piece, mixed down to mono.

    Yields:
        The next samples (T,) float32, and their rate in Hz.

    Raises:
        AudioFileError: reason empty or unreadable; a truncated file says so once its last sample was given.
    """
    with _opened(path) as sound:
        promised = promised_frames(sound, path)
        block_frames = max(1, STREAM_SAMPLES // sound.channels)
        num_read = 0
        while len(frames := sound.read(block_frames, dtype="float32", always_2d=True)):
            num_read += len(frames)
            yield downmix(frames), sound.samplerate
        if promised is not None:
            check_is_whole(num_read, promised, sound.samplerate, path)
        if not num_read:
            raise no_frame(path)


def sndfile_duration_s(path: Path) -> float:
    """Length of a file in seconds, from its header.

    Raises:
        AudioFileError: reason empty or unreadable.
    """
    with _opened(path) as sound:
        return sound.frames / sound.samplerate


@contextmanager
def _opened(path: Path | EncodedSound) -> Iterator[soundfile.SoundFile]:
    """An open sound file with at least one frame; what libsndfile or the disk says becomes an AudioFileError."""
    try:
        with _open(path) as sound:
            _check_header(sound, path)
            yield sound
    except soundfile.SoundFileError as error:
        detail = getattr(error, "error_string", str(error)).removeprefix("Error : ").strip().rstrip(".")
        if "does not exist" in detail:  # said of an MP3 file without a frame, which is there
            detail = "no frame of sound in it"
        raise AudioFileError(
            f"{sound_name(path)} cannot be decoded ({detail}): it is damaged, truncated, or no sound libsndfile reads; "
            "fetch it again, or convert it to flac",
            reason="unreadable",
        ) from error
    except OSError as error:
        raise cannot_be_read(path, error) from error


def _open(path: Path | EncodedSound) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(io.BytesIO(path.content) if isinstance(path, EncodedSound) else path)
    except TypeError as error:  # soundfile asks for the parameters of what is named .raw
        message = f"{sound_name(path)} has no header that tells how to decode it; write it as wav or flac"
        raise AudioFileError(message, reason="unreadable") from error


def _check_header(sound: soundfile.SoundFile, path: Path | EncodedSound) -> None:
    if sound.frames >= UNKNOWN_FRAMES:
        name, kind = sound_name(path), sound.format
        message = f"{name} does not say how long it is (a streamed {kind}); write it again with its length"
        raise AudioFileError(message, reason="unreadable")
    check_rate(sound.samplerate, path)
    if sound.frames == 0 and not promised_frames(sound, path):
        raise no_frame(path)


def _read_mono(sound: soundfile.SoundFile, first: int, last: float) -> np.ndarray:
    """Frames `first` .. `last` - 1, or as many as there are, as the mean over channels (T,)."""
    if first >= last:
        return np.zeros(0, dtype=np.float32)
    if first:
        sound.seek(first)
    blocks = []
    left = int(last) - first
    block_frames = max(1, BLOCK_SAMPLES // sound.channels)
    while left:
        frames = sound.read(min(left, block_frames), dtype="float32", always_2d=True)
        if not len(frames):
            break
        blocks.append(downmix(frames))
        left -= len(frames)
    return blocks[0] if len(blocks) == 1 else np.concatenate([np.zeros(0, dtype=np.float32), *blocks])
