"""Sound of m4a, aac, mp4, webm and mkv: against FFmpeg's own decoding of the whole file, cut here."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from audio_dcls.data.sound.decode import decode_mono, read_clip, sound_duration_s
from audio_dcls.data.sound.stored_sound import EncodedSound
from audio_dcls.data.sound.video_audio import is_video
from audio_dcls.errors import AudioFileError

DURATION_S = 8.0
CASES = {
    "aac.m4a": ("aac", 44_100),
    "aac.mp4": ("aac", 32_000),
    "aac.aac": ("aac", 44_100),
    "aac.mkv": ("aac", 44_100),
    "opus.webm": ("libopus", 48_000),
    "opus.mkv": ("libopus", 48_000),
    "alac.m4a": ("alac", 44_100),
}
EXACT = 1e-6
"""What a float32 sum of two channels rounds by."""
SETTLED = 1e-3
"""Opus predicts from all that came before: after a seek it is this close within the second that is dropped."""


def sound_of(rate_hz: int, num_channels: int = 2) -> np.ndarray:
    """(C, T): a sweep in noise, so that no two stretches are alike; channels differ in level."""
    t = np.arange(round(DURATION_S * rate_hz)) / rate_hz
    sweep = 0.4 * np.sin(2 * np.pi * (200 * t + 150 * t**2)) + 0.02 * np.random.default_rng(0).standard_normal(len(t))
    return np.stack([sweep * (1 - 0.5 * channel) for channel in range(num_channels)]).astype(np.float32)


def encode(path: Path, codec: str, rate_hz: int, num_channels: int = 2, *, is_repeatable: bool = True) -> Path:
    """Write a sound by FFmpeg; AAC that is not repeatable has bands that every decoder fills with noise of its own."""
    layout = {1: "mono", 2: "stereo"}[num_channels]
    sound = sound_of(rate_hz, num_channels)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        stream.layout = layout
        if codec == "aac" and is_repeatable:
            stream.options = {"aac_pns": "0"}
        for start in range(0, sound.shape[1], 1024):
            part = np.ascontiguousarray(sound[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("video")
    return {name: encode(folder / name, *case) for name, case in CASES.items()}


def whole(path: Path) -> np.ndarray:
    """All frames as FFmpeg gives them, mixed down."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    values = np.concatenate(frames, axis=1).astype(np.float64)
    if frames[0].dtype.kind == "i":
        values /= 2.0 ** (8 * frames[0].dtype.itemsize - 1)
    return values.mean(axis=0)


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_what_ffmpeg_decodes(files, name):
    waveform, rate_hz = decode_mono(files[name])
    assert (waveform.dtype, rate_hz) == (np.float32, CASES[name][1])
    np.testing.assert_allclose(waveform, whole(files[name]), atol=EXACT)
    assert abs(sound_duration_s(files[name]) - DURATION_S) < 0.06  # encoders pad to whole frames


@pytest.mark.parametrize("name", [name for name in CASES if name != "aac.aac"])
def test_sample_0_is_the_sound_s_own_first(files, name):
    rate_hz = CASES[name][1]
    ours, theirs = decode_mono(files[name])[0][:rate_hz], sound_of(rate_hz).mean(axis=0)[:rate_hz]
    assert lag_of(ours, theirs) == 0


def lag_of(ours: np.ndarray, theirs: np.ndarray) -> int:
    """By how many samples the one comes later, by their correlation."""
    length = 2 * len(ours)
    lags = np.fft.irfft(np.fft.rfft(ours, length) * np.fft.rfft(theirs, length).conj())
    return int((np.argmax(lags) + len(ours)) % length - len(ours))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("start_s", "end_s"), [(None, 1.5), (0.4, 2.5), (3.0, 4.0), (4.321, 6.789), (7.5, 99.0)])
def test_a_segment_is_the_slice_of_the_whole_to_the_sample(files, name, start_s, end_s):
    rate_hz = CASES[name][1]
    first, last = round((start_s or 0) * rate_hz), round(end_s * rate_hz)
    segment, _ = decode_mono(files[name], start_s=start_s, end_s=end_s)
    expected = whole(files[name])[first:last]
    assert len(segment) == len(expected)
    np.testing.assert_allclose(segment, expected, atol=SETTLED if "opus" in name else EXACT)


def test_noise_that_the_decoder_makes_up_moves_nothing(tmp_path):
    path = encode(tmp_path / "a.m4a", "aac", 44_100, is_repeatable=False)
    segment, _ = decode_mono(path, start_s=5.0, end_s=6.0)
    expected = whole(path)[5 * 44_100 : 6 * 44_100]
    assert lag_of(segment, expected) == 0
    assert np.sqrt(np.mean((segment - expected) ** 2)) < 0.02  # the noise that was put in
    np.testing.assert_array_equal(decode_mono(path, start_s=5.0, end_s=6.0)[0], segment)


def test_only_the_segment_is_decoded(files, monkeypatch):
    decoded = []

    def spy(frame: av.AudioFrame) -> np.ndarray:
        decoded.append(frame.pts / frame.sample_rate)
        return np.zeros(frame.samples, dtype=np.float32)

    monkeypatch.setattr("audio_dcls.data.sound.video_audio._mono", spy)
    decode_mono(files["aac.m4a"], start_s=5.0, end_s=6.0)
    assert 4.9 < min(decoded) <= 5.0 < 5.9 < max(decoded) < 6.0


def test_reading_resamples_and_mixes_down(files):
    clip = read_clip(files["aac.m4a"], start_s=2.0, end_s=5.0)
    assert clip.shape == (96_000,)
    assert abs(float(np.sqrt((clip**2).mean())) - 0.75 * 0.4 / np.sqrt(2)) < 0.01


@pytest.mark.parametrize("name", CASES)
def test_bytes_in_memory_are_read_alike(files, name):
    stored = EncodedSound(files[name].read_bytes(), f"'a.parquet', row 3 ({name})")
    ours, theirs = (decode_mono(sound, start_s=3.0, end_s=4.0)[0] for sound in (stored, files[name]))
    np.testing.assert_array_equal(ours, theirs)


def test_what_a_file_holds_chooses_the_decoder_and_not_its_name(files, tmp_path):
    misnamed = tmp_path / "a.wav"
    misnamed.write_bytes(files["aac.m4a"].read_bytes())
    np.testing.assert_array_equal(decode_mono(misnamed)[0], decode_mono(files["aac.m4a"])[0])
    soundfile.write(tmp_path / "b.wav", sound_of(8000).T, 8000)
    (tmp_path / "b.wav").rename(tmp_path / "b.m4a")
    assert not is_video(tmp_path / "b.m4a")
    assert decode_mono(tmp_path / "b.m4a")[1] == 8000
    tagged = tmp_path / "tagged.aac"
    tagged.write_bytes(b"ID3\x04\0\0\0\0\0\x05hello" + files["aac.aac"].read_bytes())
    assert is_video(tagged)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "oga", "opus", "aiff", "aif", "caf", "au", "w64"])
def test_what_libsndfile_reads_stays_there(tmp_path, suffix):
    kinds = {"oga": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "aif": ("AIFF", "PCM_16"), "mp3": ("MP3", None)}
    container, subtype = kinds.get(suffix, (suffix.upper(), None))
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, sound_of(48_000).T, 48_000, format=container, subtype=subtype)
    assert not is_video(path)
    frames, rate_hz = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(decode_mono(path)[0], frames.mean(axis=1), atol=EXACT)
    assert rate_hz == 48_000


def refused(path: Path, **times: float) -> AudioFileError:
    with pytest.raises(AudioFileError) as caught:
        decode_mono(path, **times)
    assert str(path) in str(caught.value)
    return caught.value


def test_without_the_extra_the_error_names_it(files, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "av" else find(name))
    error = refused(files["opus.webm"])
    assert error.reason == "unreadable" and 'pip install "audio-dcls[video]"' in str(error)


@pytest.mark.parametrize("name", ["aac.m4a", "aac.mp4", "aac.mkv", "opus.webm", "aac.aac"])
def test_a_damaged_file_is_refused(files, tmp_path, name):
    content = files[name].read_bytes()
    broken = tmp_path / name
    broken.write_bytes(content[: len(content) // 2])
    assert refused(broken).reason == "unreadable"
    broken.write_bytes(content[:12] + bytes(4000))
    assert refused(broken).reason in ("unreadable", "empty")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("start_s", [8.5, 300.0])
def test_a_clip_behind_the_end_is_out_of_range(files, name, start_s):
    assert refused(files[name], start_s=start_s, end_s=start_s + 10).reason == "out_of_range"


def test_a_video_without_sound_is_empty(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * number, dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    error = refused(path)
    assert error.reason == "empty" and "without sound" in str(error)
