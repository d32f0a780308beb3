"""Decode by libsndfile: wav, flac, ogg (vorbis, opus), mp3, aiff and others; only the clip is decoded.

T samples at the file's own rate, C channels.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile

from audio_dcls.data.sound.container import UNKNOWN_FRAMES, promised_frames
from audio_dcls.data.sound.mpeg_frames import with_length_header
from audio_dcls.data.sound.sample_bytes import SampleStream, sample_bytes
from audio_dcls.data.sound.sound_file import (
    beyond_the_end,
    cannot_be_read,
    check_is_whole,
    check_rate,
    downmix,
    no_frame,
    sample_range,
    unusable,
)
from audio_dcls.data.sound.stored_sound import EncodedSound, open_bytes, read_bytes

BLOCK_SAMPLES = 2**23
"""Samples decoded at once, 95 s of stereo at 44.1 kHz: an hour of sound is mixed down block by block."""

_STREAM_SAMPLES = 2**19
"""Samples per block of a streamed file, 6 s of stereo at 44.1 kHz."""

_SAMPLE_BYTES = {"PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_SAMPLE_BYTES |= {"ULAW": 1, "ALAW": 1}
_COUNTED_SHARE = 0.95
"""Smallest share of the samples that a header must count to be trusted; the rest may be padding."""


def decode_sndfile(path: Path | EncodedSound, start_s: float | None, end_s: float | None) -> tuple[np.ndarray, int]:
    """Decode a clip, mixed down to mono: the waveform (T,) float32, and its rate in Hz.

    Raise an AudioFileError (empty, unreadable or out_of_range) if the clip cannot be decoded.
    """
    with _opened(path) as (sound, promised):
        rate_hz = sound.samplerate
        total = sound.frames if promised is None else promised
        first, last = sample_range(start_s, end_s, rate_hz, total)
        if first >= total:
            raise beyond_the_end(path, total / rate_hz, start_s)
        waveform = _read_mono(sound, first, min(last, sound.frames))
        if promised is not None:
            check_is_whole(len(waveform), last - first, rate_hz, path)
    return waveform, rate_hz


def sndfile_blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Decode a whole file block by block, mixed down to mono (T,) float32, with the rate in Hz.

    Raise an AudioFileError (empty or unreadable) if it cannot be decoded; for a truncated file, after its last sample.
    """
    with _opened(path) as (sound, promised):
        block_frames = max(1, _STREAM_SAMPLES // sound.channels)
        num_read = 0
        while len(frames := sound.read(block_frames, dtype="float32", always_2d=True)):
            num_read += len(frames)
            yield downmix(frames), sound.samplerate
        if promised is not None:
            check_is_whole(num_read, promised, sound.samplerate, path)
        if not num_read:
            raise no_frame(path)


def sndfile_duration_s(path: Path) -> float:
    """Length of a file in seconds, from its header; raise an AudioFileError (empty or unreadable)."""
    with _opened(path) as (sound, _):
        return sound.frames / sound.samplerate


@contextmanager
def _opened(path: Path | EncodedSound) -> Iterator[tuple[soundfile.SoundFile, float | None]]:
    """An open sound file, and its number of frames as `promised_frames` gives it.

    Errors of libsndfile and the disk, and a file without a frame, become an AudioFileError.
    """
    try:
        with _open(path) as as_listed, _whole(as_listed, path) as (sound, promised):
            _check_header(sound, promised, path)
            yield sound, promised
    except soundfile.SoundFileError as error:
        detail = getattr(error, "error_string", str(error)).removeprefix("Error : ").strip().rstrip(".")
        if "does not exist" in detail:  # libsndfile's message for an existing MP3 file without a frame
            detail = "no frame of sound in it"
        problem = f"cannot be decoded ({detail}): it is damaged, truncated, or of a kind that libsndfile does not read"
        raise unusable(path, "unreadable", f"{problem}; fetch it again, or convert it to flac") from error
    except OSError as error:
        raise cannot_be_read(path, error) from error


@contextmanager
def _whole(sound: soundfile.SoundFile, path: Path | EncodedSound) -> Iterator[tuple[soundfile.SoundFile, float | None]]:
    """The same sound, opened so that libsndfile reads what its header, or libsndfile's guess, leaves out."""
    promised = promised_frames(sound, path)
    with ExitStack() as stack:
        if sound.format == "MP3" and promised and promised != sound.frames:
            content = with_length_header(read_bytes(path), int(promised))
            if content is not None:
                sound = stack.enter_context(soundfile.SoundFile(io.BytesIO(content)))
        elif sound.subtype in _SAMPLE_BYTES:
            stream = stack.enter_context(open_bytes(path))
            first, last = sample_bytes(stream)
            if sound.frames < _COUNTED_SHARE * ((last - first) // (_SAMPLE_BYTES[sound.subtype] * sound.channels)):
                sound = stack.enter_context(_open_samples(sound, SampleStream(stream, first, last)))
                promised = sound.frames
        yield sound, promised


def _open_samples(sound: soundfile.SoundFile, samples: SampleStream) -> soundfile.SoundFile:
    """Open samples without a header, of the kind that the header of `sound` describes."""
    default = "BIG" if sound.format == "AIFF" else "LITTLE"
    return soundfile.SoundFile(
        cast(BinaryIO, samples),
        samplerate=sound.samplerate,
        channels=sound.channels,
        format="RAW",
        subtype=sound.subtype,
        endian=default if sound.endian == "FILE" else sound.endian,
    )


def _open(path: Path | EncodedSound) -> soundfile.SoundFile:
    try:
        if isinstance(path, EncodedSound):
            return soundfile.SoundFile(open_bytes(path))
        name = path if os.name == "nt" else os.fsencode(path)  # soundfile refuses names that are not UTF-8
        return soundfile.SoundFile(name)  # type: ignore[arg-type]
    except TypeError as error:  # soundfile needs the parameters of a file named .raw
        problem = "has no header that says how to decode it; write it as wav or flac"
        raise unusable(path, "unreadable", problem) from error


def _check_header(sound: soundfile.SoundFile, promised: float | None, path: Path | EncodedSound) -> None:
    if sound.frames >= UNKNOWN_FRAMES:
        problem = f"has no length in its header (a streamed {sound.format}); write it again with its length"
        raise unusable(path, "unreadable", problem)
    check_rate(sound.samplerate, path)
    if sound.frames == 0 and not promised:
        raise no_frame(path)


def _read_mono(sound: soundfile.SoundFile, first: int, last: float) -> np.ndarray:
    """Frames `first` .. `last` - 1, fewer at the end of the file, as the mean over channels (T,)."""
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
