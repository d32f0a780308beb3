"""The sound of a clip, from its own file or from a row of a store."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio_dcls.data.sound.decode import ResampleQuality, check_waveform, decode_mono, read_clip
from audio_dcls.data.sound.sound_file import unusable
from audio_dcls.data.sound.sound_stream import FileSound
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
    """Read a clip of any source as a mono waveform (T,) float32; `read_clip` describes the arguments and errors.

    `end_s` replaces the end of the clip; None is the end of the sound. With `require_sound`, the clip is judged as a
    whole, as the audit judges it: a clip whose first `end_s` seconds are silent, and not the others, can be used.
    """
    sound = stored_sound(clip)
    read = functools.partial(
        read_clip, sound, sample_rate_hz=sample_rate_hz, start_s=clip.start_s, resample_quality=resample_quality
    )
    try:
        return read(end_s=end_s, require_sound=require_sound)
    except AudioFileError as error:
        if error.reason not in ("silent", "too_short") or end_s in (None, clip.end_s):
            raise
        check_waveform(*decode_mono(sound, start_s=clip.start_s, end_s=clip.end_s), sound)
        return read(end_s=end_s, require_sound=False)


def stored_sound(clip: Clip) -> Path | StoredSound:
    """Return the file of a clip, or its sound as the store holds it; nothing is decoded.

    Raise an AudioFileError if the store or the row cannot be read.
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
    endings = f"{PARQUET_SUFFIX}, {' or '.join(HDF5_SUFFIXES)}"
    raise unusable(clip.path, "unreadable", f"is not a store of clips; the name of a store ends in {endings}")


@dataclass(frozen=True)
class ClipSound:
    """A clip of a manifest: a file, a stretch of one, or a row of a store."""

    clip: Clip

    @property
    def name(self) -> str:
        """The id of the clip."""
        return self.clip.id

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield a whole file in pieces; a stretch of a file, or a row of a store, in one piece.

        Raise an AudioFileError if the sound cannot be read.
        """
        if self.clip.row is None and self.clip.start_s is None and self.clip.end_s is None:
            yield from FileSound(self.clip.path).blocks()
            return
        yield decode_mono(stored_sound(self.clip), start_s=self.clip.start_s, end_s=self.clip.end_s)
