"""The sound of a clip, wherever it is kept: a file of its own, or a row of a store.

T samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audio_dcls.data.sound.decode import ResampleQuality, read_clip
from audio_dcls.data.sound.stored_sound import StoredSound
from audio_dcls.data.suffixes import HDF5_SUFFIXES, PARQUET_SUFFIX
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import AudioFileError


def read_clip_audio(
    clip: Clip,
    *,
    sample_rate_hz: int,
    end_s: float | None = None,
    require_sound: bool = True,
    resample_quality: ResampleQuality = "HQ",
) -> np.ndarray:
    """A clip as a mono waveform, as `read_clip` gives it.

    Args:
        clip: of any source.
        sample_rate_hz: rate of the result.
        end_s: where to stop in the sound; None is its end.
        require_sound: whether a clip under 0.1 s, or a silent one, is refused.
        resample_quality: of soxr.

    Shape: (T,) float32.

    Raises:
        AudioFileError: the clip cannot be used.
    """
    return read_clip(
        stored_sound(clip),
        sample_rate_hz=sample_rate_hz,
        start_s=clip.start_s,
        end_s=end_s,
        require_sound=require_sound,
        resample_quality=resample_quality,
    )


def stored_sound(clip: Clip) -> Path | StoredSound:
    """What a clip's sound is kept as: its file, or what a store holds for it; nothing is decoded.

    Raises:
        AudioFileError: the store or its row cannot be read.
    """
    if clip.row is None:
        return clip.path
    suffix = clip.path.suffix.lower()
    if suffix == PARQUET_SUFFIX:
        from audio_dcls.data.stores.reader import read_row

        return read_row(clip.path, clip.row)
    if suffix in HDF5_SUFFIXES:
        from audio_dcls.data.stores import hdf5_clips

        return hdf5_clips.read_row(clip.path, clip.row)
    raise AudioFileError(
        f"'{clip.path}' has no rows that can be read; a store of clips ends in {PARQUET_SUFFIX}, "
        f"{' or '.join(HDF5_SUFFIXES)}",
        reason="unreadable",
    )
