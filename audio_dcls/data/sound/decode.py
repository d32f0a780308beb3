"""Decode one clip of a sound file to a mono waveform.

T samples at the requested rate, as long as the clip; only `fit_length` pads.
"""

from __future__ import annotations

import math
import typing
from pathlib import Path
from typing import Literal

import numpy as np
import soxr

from audio_dcls.data.sound.flac_audio import decode_whole_flac
from audio_dcls.data.sound.sndfile_audio import decode_sndfile, sndfile_duration_s
from audio_dcls.data.sound.sound_file import beyond_the_end, check_file, no_frame, sample_range, to_mono, unusable
from audio_dcls.data.sound.stored_sound import EncodedSound, PcmSound, StoredSound
from audio_dcls.data.sound.video_audio import decode_video, is_video, video_duration_s
from audio_dcls.errors import ArgumentError

_MIN_DURATION_S = 0.1
_MIN_SWING = 2e-5
"""Smallest difference between the highest and the lowest sample; one step of 16 bits is 3.1e-5."""
ResampleQuality = Literal["QQ", "LQ", "MQ", "HQ", "VHQ"]
"""Qualities of soxr, fastest first; a clip of 10 s from 44.1 kHz takes 2.7 ms by MQ, 3.0 by HQ, 4.1 by VHQ."""


def read_clip(
    path: str | Path | StoredSound,
    *,
    sample_rate_hz: int = 32_000,
    start_s: float | None = None,
    end_s: float | None = None,
    require_sound: bool = True,
    resample_quality: ResampleQuality = "HQ",
) -> np.ndarray:
    """Decode a clip, mix it down to mono (the mean over channels) and resample it (soxr).

    Args:
        path: any file that libsndfile reads: wav, flac, ogg (vorbis, opus), mp3, aiff and others; with the extra
            `[video]` also m4a, aac, mp4, webm and mkv; or a sound in memory. Its first bytes, not its name, choose the
            decoder, and no other one is tried.
        sample_rate_hz: rate of the result, at least 1.
        start_s: start of the clip in the file, at least 0; None is the beginning. Only the clip is decoded.
        end_s: end of the clip, more than `start_s`; None, or a time after the end of the file, is the file's end.
        require_sound: refuse a clip under 0.1 s and a silent one.
        resample_quality: quality of soxr.

    Shape: (T,) float32, about duration x `sample_rate_hz` samples.

    Raises:
        ArgumentError: an argument breaks its rule.
        AudioFileError: the clip cannot be used; `reason` is missing, empty, unreadable, out_of_range, not_finite,
            too_short or silent.

    >>> import tempfile, numpy, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", 0.1 * numpy.random.default_rng(0).standard_normal((44100, 2)), 44100)
    ...     read_clip(f"{folder}/a.wav", start_s=0.25, end_s=0.75).shape
    (16000,)
    """
    _check_arguments(sample_rate_hz, start_s, end_s)
    check_resample_quality(resample_quality)
    waveform, rate_hz = decode_mono(path, start_s=start_s, end_s=end_s)
    check_waveform(waveform, rate_hz, path, require_sound=require_sound)
    if rate_hz != sample_rate_hz:
        waveform = soxr.resample(waveform, rate_hz, sample_rate_hz, quality=resample_quality)
    return waveform


def decode_mono(
    path: str | Path | StoredSound, *, start_s: float | None = None, end_s: float | None = None
) -> tuple[np.ndarray, int]:
    """Decode a clip, mixed down to mono: the waveform (T,) float32, and the file's own rate in Hz.

    Raise an AudioFileError (missing, empty, unreadable or out_of_range) if the clip cannot be decoded.
    """
    path = Path(path) if isinstance(path, str) else path
    if isinstance(path, PcmSound):
        return _cut(path, start_s, end_s), path.sample_rate_hz
    check_file(path)
    whole = decode_whole_flac(path.content, start_s, end_s) if isinstance(path, EncodedSound) else None
    if whole is not None:
        return _cut(PcmSound(*whole, name=path.name), start_s, end_s), whole[1]
    decode = decode_video if is_video(path) else decode_sndfile
    return decode(path, start_s, end_s)


def sound_duration_s(path: str | Path) -> float:
    """Length of a file in seconds, from its header.

    Raises:
        AudioFileError: reason missing, empty or unreadable.
    """
    path = Path(path)
    check_file(path)
    return video_duration_s(path) if is_video(path) else sndfile_duration_s(path)


def check_waveform(
    waveform: np.ndarray, sample_rate_hz: int, path: str | Path | StoredSound, *, require_sound: bool = True
) -> None:
    """Refuse a waveform that no model can learn from.

    Raise an AudioFileError: not_finite (a NaN or infinite sample) or, with `require_sound`, too_short (under 0.1 s) or
    silent (the lowest and the highest sample differ by less than 2e-5; a constant is silence too).

    >>> check_waveform(np.zeros(32000, dtype=np.float32), 32000, "a.wav")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    audio_dcls.errors.AudioFileError: 'a.wav' is silent: its samples swing by 0e+00, which must be at least 2e-05; ...
    """
    lowest, highest = (float(waveform.min()), float(waveform.max())) if len(waveform) else (0.0, 0.0)
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        where = int(np.argmin(np.isfinite(waveform)))
        problem = f"holds {waveform[where]} at {where / sample_rate_hz:.3f} s of the clip"
        raise unusable(path, "not_finite", f"{problem}; samples must be finite, write the file again")
    if not require_sound:
        return
    if len(waveform) < _MIN_DURATION_S * sample_rate_hz:
        rule = f"gives {len(waveform) / sample_rate_hz:.3f} s of sound, which must be at least {_MIN_DURATION_S}"
        raise unusable(path, "too_short", f"{rule}; remove the clip or fix its times")
    if highest - lowest < _MIN_SWING:
        rule = f"is silent: its samples swing by {highest - lowest:.0e}, which must be at least {_MIN_SWING:.0e}"
        raise unusable(path, "silent", f"{rule}; remove the clip or fetch it again")


def fit_length(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Cut a waveform at `num_samples`, or pad it with zeros at the end.

    >>> fit_length(np.ones(2, dtype=np.float32), 4)
    array([1., 1., 0., 0.], dtype=float32)
    """
    if num_samples < 1:
        raise ArgumentError(f"`num_samples` (={num_samples}) must be at least 1; give the clip's length")
    if len(waveform) >= num_samples:
        return waveform[:num_samples]
    return np.pad(waveform, (0, num_samples - len(waveform)))


def check_resample_quality(quality: str) -> None:
    """Raise an ArgumentError for a quality that soxr does not have."""
    known = typing.get_args(ResampleQuality)
    if quality not in known:
        raise ArgumentError(f"`resample_quality` (={quality!r}) must be one of {', '.join(known)}; HQ is usual")


def _check_arguments(sample_rate_hz: int, start_s: float | None, end_s: float | None) -> None:
    if sample_rate_hz < 1:
        raise ArgumentError(f"`sample_rate_hz` (={sample_rate_hz}) must be at least 1; 32000 is usual")
    start = 0.0 if start_s is None else start_s
    if not (math.isfinite(start) and start >= 0):
        raise ArgumentError(f"`start_s` (={start_s}) must be 0 or more; use None for the beginning of the file")
    if end_s is not None and not (math.isfinite(end_s) and end_s > start):
        raise ArgumentError(f"`end_s` (={end_s}) must be more than `start_s` (={start_s}); use None for the file's end")


def _cut(sound: PcmSound, start_s: float | None, end_s: float | None) -> np.ndarray:
    """Part of a sound as mono (T,) float32."""
    total = len(sound.samples)
    if total == 0:
        raise no_frame(sound)
    first, last = sample_range(start_s, end_s, sound.sample_rate_hz, total)
    if first >= total:
        raise beyond_the_end(sound, total / sound.sample_rate_hz, start_s)
    return to_mono(sound.samples[first : int(last)])
