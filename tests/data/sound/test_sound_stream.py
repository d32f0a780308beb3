"""Sounds block by block are the sounds that other decoders and resamplers give at once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import soxr

from audio_dcls.data import read_clip
from audio_dcls.data.sound.sound_stream import ArraySound, FileSound, RawSound, resampled_blocks
from audio_dcls.errors import ArgumentError, AudioFileError

TOLERANCE = 2e-6
"""The same filter over other blocks: float32 rounding."""


def whole(sound: Any, rate_hz: int = 32_000) -> np.ndarray:
    return np.concatenate(list(resampled_blocks(sound, sample_rate_hz=rate_hz)))


def stereo(seconds: float, rate_hz: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * rate_hz), 2)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_file_in_blocks_is_librosas_and_soxrs(tmp_path: Path, suffix: str, rate_hz: int) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, stereo(13.7, rate_hz), rate_hz)
    samples, _ = librosa.load(path, sr=None, mono=True)
    expected = soxr.resample(samples, rate_hz, 32_000, quality="HQ")
    blocks = list(resampled_blocks(FileSound(path)))
    assert len(blocks) > 1 and all(len(block) for block in blocks)
    found = np.concatenate(blocks)
    assert abs(len(found) - len(expected)) <= 1
    np.testing.assert_allclose(found[: len(expected)], expected[: len(found)], atol=TOLERANCE)
    np.testing.assert_allclose(found, read_clip(path)[: len(found)], atol=TOLERANCE)


def test_a_video_in_blocks_is_the_whole_one(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=44_100)
        stream.layout = "stereo"
        samples = stereo(3.3, 44_100)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    blocks = [block for block, _ in FileSound(path).blocks()]
    assert len(blocks) > 2
    np.testing.assert_array_equal(np.concatenate(blocks), read_clip(path, sample_rate_hz=44_100))


def test_a_truncated_file_says_so_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, stereo(20, 32_000), 32_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    blocks = resampled_blocks(FileSound(path))
    assert len(next(blocks)) > 0
    with pytest.raises(AudioFileError, match="truncated") as caught:
        list(blocks)
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("name", ["none.wav", "empty.wav", "text.wav", "no_frame.wav", "folder"])
def test_what_is_no_sound_is_refused_as_by_the_clip_reader(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("<html>not found</html>")
    (tmp_path / "folder").mkdir()
    soundfile.write(tmp_path / "no_frame.wav", np.zeros(0), 32_000)
    with pytest.raises(AudioFileError) as expected:
        read_clip(tmp_path / name)
    with pytest.raises(AudioFileError) as found:
        whole(FileSound(tmp_path / name))
    assert (str(found.value), found.value.reason) == (str(expected.value), expected.value.reason)


def test_a_sample_that_is_not_finite_is_named(tmp_path: Path) -> None:
    samples = np.zeros(64_000, dtype=np.float32)
    samples[40_000] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 32_000, subtype="FLOAT")
    with pytest.raises(AudioFileError, match="holds nan") as caught:
        whole(FileSound(tmp_path / "a.wav"))
    assert caught.value.reason == "not_finite"


def test_arrays_are_mixed_down_and_scaled() -> None:
    samples = stereo(1.0, 44_100).T
    expected = soxr.resample(samples.mean(axis=0), 44_100, 32_000, quality="HQ")
    np.testing.assert_allclose(whole(ArraySound(samples, 44_100)), expected, atol=TOLERANCE)
    integers = np.array([0, 16_384, -32_768], dtype=np.int16)
    np.testing.assert_array_equal(whole(ArraySound(integers, 32_000)), [0, 0.5, -1])


@pytest.mark.parametrize(
    ("samples", "rate_hz", "message"),
    [
        (np.zeros((5, 2)), 32_000, r"shape \(5, 2\).*transpose"),
        (np.zeros(0), 32_000, "at least one sample"),
        (np.zeros((1, 1, 4)), 32_000, r"\(channels, samples\)"),
        (np.zeros(4, dtype=np.int64), 32_000, "dtype int64.*int16"),
        (np.zeros(4), 0, r"`sample_rate_hz` \(=0\)"),
    ],
)
def test_arrays_that_are_no_sound_are_refused(samples: np.ndarray, rate_hz: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        whole(ArraySound(samples, rate_hz))


class Trickle(io.RawIOBase):
    """A pipe whose writer gives odd numbers of bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        given, self.content = self.content[: min(size, 777)], self.content[min(size, 777) :]
        return given


@pytest.mark.parametrize(("form", "dtype"), [("s16le", "<i2"), ("f32le", "<f4")])
def test_raw_samples_are_the_files(form: Any, dtype: str) -> None:
    samples = stereo(1.3, 16_000)
    stored = samples if form == "f32le" else np.round(samples * 32_768).astype(np.int16)
    stream: Any = Trickle(stored.astype(dtype).tobytes() + b"\x01")  # a torn last sample
    sound = RawSound(stream, 16_000, 2, form)
    expected = samples.mean(axis=1)
    np.testing.assert_allclose(whole(sound, 16_000), expected, atol=1.1 / 32_768 if form == "s16le" else TOLERANCE)
