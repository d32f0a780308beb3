"""Sound from a pipe: samples as they arrive, or a whole file of any format."""

from __future__ import annotations

import shutil
import tempfile
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from audio_dcls.data.sound.sound_stream import FileSound, RawFormat, RawSound, Sound
from audio_dcls.errors import ArgumentError, AudioFileError


@dataclass(frozen=True)
class PipedFile:
    """A sound file of any format in a pipe. Decoders seek, so it is kept on disk while it is decoded."""

    stream: BinaryIO
    name: str = "-"

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Decode the whole file, once the pipe is closed; raise an AudioFileError (empty or unreadable)."""
        with tempfile.TemporaryDirectory(prefix="audio-dcls-") as folder:
            path = Path(folder) / "sound"
            with path.open("wb") as file:
                shutil.copyfileobj(self.stream, file)
            try:
                yield from FileSound(path).blocks()
            except AudioFileError as error:
                message = str(error).replace(f"'{path}'", f"'{self.name}'")
                raise AudioFileError(f"standard input: {message}", reason=error.reason) from error


def standard_input(stream: BinaryIO, raw: str | None) -> Sound:
    """The sound of a pipe: a file of any format if `raw` is None, or samples without a header.

    For samples, `raw` is "RATE", "RATE,CHANNELS" or "RATE,CHANNELS,FORMAT": Hz, a number (1 by default), and s16le (by
    default) or f32le. Raise an ArgumentError if it has another form.

    >>> import io
    >>> standard_input(io.BytesIO(), "48000,2").num_channels
    2
    """
    if raw is None:
        return PipedFile(stream)
    parts = raw.split(",")
    rate, channels, form = parts + ["1", "s16le"][len(parts) - 1 :] if len(parts) < 3 else parts[:3]
    forms = typing.get_args(RawFormat)
    if len(parts) > 3 or not rate.isdigit() or not channels.isdigit() or form not in forms:
        raise ArgumentError(
            f"--raw (={raw!r}) must be RATE[,CHANNELS[,FORMAT]], such as 48000,2,s16le; formats are {', '.join(forms)}"
        )
    return RawSound(stream, int(rate), int(channels), typing.cast(RawFormat, form))
