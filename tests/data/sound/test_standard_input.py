"""Sound from a pipe: raw samples and whole files."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
import soundfile

from audio_dcls.data.sound.sound_stream import FileSound, resampled_blocks
from audio_dcls.data.sound.standard_input import PipedFile, standard_input
from audio_dcls.errors import ArgumentError, AudioFileError


def whole(sound: Any, rate_hz: int = 32_000) -> np.ndarray:
    return np.concatenate(list(resampled_blocks(sound, sample_rate_hz=rate_hz)))


def stereo(seconds: float, rate_hz: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * rate_hz), 2)).astype(np.float32)


def test_standard_input_of_any_form() -> None:
    sound: Any = standard_input(io.BytesIO(), "48000,2,f32le")
    assert (sound.sample_rate_hz, sound.num_channels, sound.form) == (48_000, 2, "f32le")
    assert isinstance(standard_input(io.BytesIO(), None), PipedFile)
    for raw in ("", "fast", "48000,two", "48000,2,u8", "48000,2,s16le,x"):
        with pytest.raises(ArgumentError, match=r"RATE\[,CHANNELS\[,FORMAT\]\]"):
            standard_input(io.BytesIO(), raw)
    with pytest.raises(AudioFileError, match="before the first sample"):
        whole(standard_input(io.BytesIO(), "16000"))
    with pytest.raises(ArgumentError, match="num_channels"):
        whole(standard_input(io.BytesIO(), "16000,0"))


def test_a_file_in_a_real_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, stereo(2.0, 44_100), 44_100)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        found = whole(PipedFile(cast(BinaryIO, writer.stdout)))
    np.testing.assert_array_equal(found, whole(FileSound(path)))
    with pytest.raises(AudioFileError, match="standard input: '-' cannot be decoded"):
        whole(PipedFile(io.BytesIO(b"no sound at all")))
