"""A clip of a manifest as a sound that is read block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from audio_dcls.data.sound.decode import decode_mono
from audio_dcls.data.sound.sound_stream import FileSound
from audio_dcls.data.stores.sources import stored_sound
from audio_dcls.data.table.clip import Clip


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

        Raises:
            AudioFileError: the sound cannot be read.
        """
        if self.clip.row is None and self.clip.start_s is None and self.clip.end_s is None:
            yield from FileSound(self.clip.path).blocks()
            return
        yield decode_mono(stored_sound(self.clip), start_s=self.clip.start_s, end_s=self.clip.end_s)
