"""Decoding: against soundfile, librosa and closed forms; and every way a file can be unusable."""

import contextlib
import pickle
import shutil
import struct
import wave
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.io.wavfile
import soundfile

from audio_dcls.data.sound.container import promised_frames
from audio_dcls.data.sound.decode import check_waveform, decode_mono, fit_length, read_clip, sound_duration_s
from audio_dcls.data.sound.sound_stream import FileSound
from audio_dcls.errors import ArgumentError, AudioFileError

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "rf64": ("RF64", "PCM_16"),
    "au": ("AU", "PCM_16"),
}


def chirp(duration_s: float, rate_hz: int, num_channels: int = 1) -> np.ndarray:
    """A sweep from 200 Hz to 3 kHz over a little noise, (T, C); channels differ in level."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    rng = np.random.default_rng(0)
    sweep = 0.4 * np.sin(2 * np.pi * (200 * t + 1400 / duration_s * t**2)) + 0.01 * rng.standard_normal(len(t))
    return np.stack([sweep * (1 - 0.2 * channel) for channel in range(num_channels)], axis=1)


def write(path: Path, frames: np.ndarray, rate_hz: int) -> Path:
    """Write a sound in the format its name says."""
    container, subtype = FORMATS[path.suffix[1:]]
    soundfile.write(path, frames, rate_hz, format=container, subtype=subtype)
    return path


def reason(path: Path, *, start_s: float | None = None, end_s: float | None = None) -> str:
    """The reason a clip is refused, its message checked to name the file and be one sentence with a remedy."""
    with pytest.raises(AudioFileError) as caught:
        read_clip(path, start_s=start_s, end_s=end_s)
    assert str(path) in str(caught.value)
    assert ";" in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("num_channels", [1, 2])
def test_decodes_what_soundfile_decodes(tmp_path, name, num_channels):
    path = write(tmp_path / f"a.{name}", chirp(1.5, 48000, num_channels), 48000)
    frames, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    waveform, decoded_rate_hz = decode_mono(path)
    assert waveform.dtype == np.float32
    assert decoded_rate_hz == rate_hz
    assert sound_duration_s(path) == len(frames) / rate_hz
    np.testing.assert_allclose(waveform, frames.mean(axis=1), atol=1e-6)  # float32 rounding


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("start_s", "end_s"), [(None, 0.5), (0.3, 0.9), (1.2, None), (0.7, 99.0)])
def test_a_segment_is_the_slice_of_the_whole(tmp_path, name, start_s, end_s):
    path = write(tmp_path / f"a.{name}", chirp(1.5, 48000), 48000)
    whole, _ = decode_mono(path)
    first, last = round((start_s or 0) * 48000), round((end_s or 99) * 48000)
    segment, _ = decode_mono(path, start_s=start_s, end_s=end_s)
    np.testing.assert_allclose(segment, whole[first:last], atol=1e-6)  # mpg123 rounds differently after a seek


@pytest.mark.parametrize("num_channels", [1, 2, 3, 6])
def test_agrees_with_librosa(tmp_path, num_channels):
    path = write(tmp_path / "a.wav", chirp(1.0, 44100, num_channels), 44100)
    expected, _ = librosa.load(path, sr=32000, mono=True, res_type="soxr_hq")
    np.testing.assert_allclose(read_clip(path), expected, atol=2e-6)  # they resample each channel, then mix


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000])
def test_resampling_keeps_a_tone(tmp_path, rate_hz):
    tone_hz, level, duration_s = 1000.0, 0.5, 2.0
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    soundfile.write(tmp_path / "a.wav", level * np.sin(2 * np.pi * tone_hz * t), rate_hz, subtype="FLOAT")
    waveform = read_clip(tmp_path / "a.wav", sample_rate_hz=32000)
    assert len(waveform) == 64000
    middle = waveform[16000:48000]
    expected = level * np.sin(2 * np.pi * tone_hz * np.arange(16000, 48000) / 32000)
    np.testing.assert_allclose(middle, expected, atol=5e-5)  # soxr HQ: 20 bits in its pass-band; edges left out


def test_downsampling_removes_what_would_alias(tmp_path):
    t = np.arange(2 * 48000) / 48000
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 20000 * t), 48000, subtype="FLOAT")
    waveform = read_clip(tmp_path / "a.wav", sample_rate_hz=32000)
    assert np.abs(waveform[3200:-3200]).max() < 5e-5  # 80 dB down; aliased it would sit at 12 kHz


def test_reads_files_written_by_other_programs(tmp_path):
    samples = (chirp(0.5, 16000)[:, 0] * 32767).astype(np.int16)
    scipy.io.wavfile.write(tmp_path / "scipy.wav", 16000, samples)
    with wave.open(str(tmp_path / "stdlib.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    for name in ("scipy.wav", "stdlib.wav"):
        np.testing.assert_array_equal(decode_mono(tmp_path / name)[0], samples / np.float32(32768))


def test_long_files_are_read_in_blocks(tmp_path, monkeypatch):
    path = write(tmp_path / "a.ogg", chirp(2.0, 22050, 2), 22050)
    whole, _ = decode_mono(path)
    monkeypatch.setattr("audio_dcls.data.sound.sndfile_audio.BLOCK_SAMPLES", 14002)
    np.testing.assert_allclose(decode_mono(path)[0], whole, atol=1e-6)
    np.testing.assert_allclose(decode_mono(path, start_s=0.5, end_s=1.7)[0], whole[11025:37485], atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_whole_files_promise_what_they_hold(tmp_path, name):
    path = write(tmp_path / f"a.{name}", chirp(1.5, 48000), 48000)
    with soundfile.SoundFile(path) as sound:
        assert promised_frames(sound, path) == sound.frames


@pytest.mark.parametrize("share", [0.8, 0.5, 0.1, 0.01])
@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_are_unreadable(tmp_path, name, share):
    path = write(tmp_path / f"a.{name}", chirp(3.0, 48000, 2), 48000)
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    assert reason(path) == "unreadable"


def test_a_clip_that_is_whole_in_a_truncated_file_is_used(tmp_path):
    path = write(tmp_path / "a.wav", chirp(4.0, 16000), 16000)
    whole, _ = decode_mono(path)
    path.write_bytes(path.read_bytes()[: 44 + 2 * 40000])
    np.testing.assert_array_equal(decode_mono(path, start_s=1.0, end_s=2.0)[0], whole[16000:32000])
    assert reason(path, start_s=1.0, end_s=3.0) == "unreadable"
    assert reason(path, start_s=3.0, end_s=4.0) == "unreadable"
    assert reason(path, start_s=4.0) == "out_of_range"


def test_up_to_five_percent_may_be_lost(tmp_path):
    path = write(tmp_path / "a.wav", chirp(4.0, 16000), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: 44 + round(0.96 * 128000)])
    assert len(read_clip(path, sample_rate_hz=16000)) == 61440
    path.write_bytes(content[: 44 + round(0.94 * 128000)])
    assert reason(path) == "unreadable"


def test_streamed_headers_without_a_length(tmp_path):
    path = write(tmp_path / "a.wav", chirp(1.0, 16000), 16000)
    content = bytearray(path.read_bytes())
    for size in (0xFFFFFFFF, 0x7FFFF000):  # as ffmpeg and sox write into a pipe
        content[4:8] = content[40:44] = struct.pack("<I", size)
        path.write_bytes(content)
        assert len(decode_mono(path)[0]) == 16000
    path = write(tmp_path / "a.flac", chirp(1.0, 16000), 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO: the low 36 bits before the checksum count the samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert reason(path) == "unreadable"


@pytest.mark.parametrize("rate_hz", [44100, 48000, 24000, 11025])
def test_mp3_without_a_length_has_its_frames_counted(tmp_path, rate_hz):
    path = tmp_path / "a.mp3"
    soundfile.write(path, chirp(2.0, rate_hz), rate_hz, format="MP3", bitrate_mode="CONSTANT", compression_level=0.7)
    content = path.read_bytes()
    tag = max(content.find(b"Info", 0, 200), content.find(b"Xing", 0, 200))  # MPEG 2 frames are too short to carry one
    assert (tag > 0) == (rate_hz >= 32000)
    bare = content[content.index(content[:2], tag) :] if tag > 0 else content
    path.write_bytes(bare)
    num_coded = round(2.0 * rate_hz)
    with soundfile.SoundFile(path) as sound:
        promised = promised_frames(sound, path)
    assert promised is not None
    assert num_coded <= promised <= num_coded + 4 * 1152  # encoder delay and padding, no longer trimmed
    assert len(read_clip(path)) >= 64000
    path.write_bytes(b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256) + bare)  # a tag of 2 x 128 bytes before it
    with soundfile.SoundFile(path) as sound:
        assert promised_frames(sound, path) == promised


@pytest.mark.parametrize("loud_first", [True, False])
def test_mp3_whose_length_libsndfile_guesses_from_its_first_frame(tmp_path, loud_first):
    path = tmp_path / "a.mp3"
    parts = [np.random.default_rng(0).standard_normal(88200) * 0.3, 0.1 * np.sin(np.arange(88200) / 20)]
    frames = np.concatenate(parts if loud_first else parts[::-1])
    soundfile.write(path, frames, 44100, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2)
    content = path.read_bytes()
    bare = content[content.index(content[:2], content.index(b"Xing")) :]
    path.write_bytes(bare)
    with soundfile.SoundFile(path) as sound:
        assert not 0.95 < sound.frames / len(frames) < 1.05
    assert len(frames) <= len(decode_mono(path)[0]) < len(frames) + 4 * 1152
    assert len(read_clip(path, start_s=3.5)) == pytest.approx(16000, abs=4000)
    assert sound_duration_s(path) == pytest.approx(4.0, abs=0.15)
    assert sum(len(block) for block, _ in FileSound(path).blocks()) == len(decode_mono(path)[0])
    path.write_bytes(bare[: len(bare) // 2] + b"no frame" * 99 + bare)
    assert sound_duration_s(path) > 4.5


def test_mp3_of_two_files_one_after_the_other(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, chirp(2.0, 44100), 44100, format="MP3", bitrate_mode="CONSTANT")
    path.write_bytes(path.read_bytes() * 2)
    assert sound_duration_s(path) == pytest.approx(4.0, abs=0.3)
    assert len(read_clip(path)) == pytest.approx(4 * 32000, abs=9600)


LENGTH_FIELDS = {
    "wav": (b"data", 4, "<I"),
    "aiff": (b"SSND", 4, ">I"),
    "w64": (b"data", 16, "<Q"),
    "rf64": (b"ds64", 16, "<Q"),
}


@pytest.mark.parametrize("name", LENGTH_FIELDS)
@pytest.mark.parametrize("share", [0, 0.5])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_header_that_does_not_count_all_samples(tmp_path, name, share, subtype):
    path = tmp_path / f"a.{name}"
    soundfile.write(path, chirp(1.0, 16000, 2), 16000, format=FORMATS[name][0], subtype=subtype)
    whole, _ = decode_mono(path)
    content = bytearray(path.read_bytes())
    mark, offset, form = LENGTH_FIELDS[name]
    place = content.index(mark) + offset
    (size,) = struct.unpack_from(form, content, place)
    struct.pack_into(form, content, place, int(size * share))
    path.write_bytes(content)
    np.testing.assert_array_equal(decode_mono(path)[0], whole)
    np.testing.assert_array_equal(decode_mono(path, start_s=0.75, end_s=0.9)[0], whole[12000:14400])
    np.testing.assert_array_equal(np.concatenate([block for block, _ in FileSound(path).blocks()]), whole)
    assert sound_duration_s(path) == 1.0


def test_a_wav_whose_size_of_32_bits_wrapped(tmp_path):
    path = write(tmp_path / "a.wav", chirp(1.0, 48000), 48000)
    num_bytes = 2**32 + 96_000
    with path.open("r+b") as stream:  # sparse
        stream.truncate(44 + num_bytes)
        stream.seek(44 + num_bytes)
        stream.write(b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert sound_duration_s(path) == num_bytes / 96_000
    assert len(decode_mono(path, start_s=44_000, end_s=44_001)[0]) == 48_000


def test_chunks_behind_the_samples_are_no_sound(tmp_path):
    path = write(tmp_path / "a.wav", chirp(1.0, 16000), 16000)
    path.write_bytes(path.read_bytes() + b"junk" + struct.pack("<I", 50_000) + bytes(50_000))
    assert sound_duration_s(path) == 1.0


def test_files_that_are_no_sound(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not a sound\n" * 100)
    (tmp_path / "text.mp3").write_text("not a sound\n" * 100)
    (tmp_path / "headerless.raw").write_bytes(bytes(1000))
    (tmp_path / "folder.wav").mkdir()
    write(tmp_path / "no_frames.wav", np.zeros((0, 1)), 16000)
    write(tmp_path / "no_frames.flac", np.zeros((0, 1)), 16000)
    reasons = {path.name: reason(path) for path in sorted(tmp_path.iterdir())}
    assert reasons == {
        "empty.wav": "empty",
        "folder.wav": "unreadable",
        "headerless.raw": "unreadable",
        "no_frames.flac": "empty",
        "no_frames.wav": "empty",
        "text.mp3": "unreadable",
        "text.wav": "unreadable",
    }
    for path in (tmp_path / "none.wav", tmp_path / "text.wav" / "none.wav", Path("nul\0.wav")):
        assert reason(path) == "missing"
    with pytest.raises(AudioFileError) as caught:
        sound_duration_s(tmp_path / "none.wav")
    assert caught.value.reason == "missing"


def test_damaged_files_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    for name in FORMATS:
        content = write(tmp_path / f"a.{name}", chirp(0.3, 48000), 48000).read_bytes()
        for _ in range(15):
            damaged = np.frombuffer(content, dtype=np.uint8).copy()
            damaged[rng.integers(0, min(len(damaged), 400), 4)] = rng.integers(0, 256, 4)
            (tmp_path / f"b.{name}").write_bytes(damaged.tobytes())
            with contextlib.suppress(AudioFileError):
                assert np.isfinite(read_clip(tmp_path / f"b.{name}")).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(tmp_path, value):
    frames = chirp(0.5, 16000, 2)
    frames[4000, 1] = value
    soundfile.write(tmp_path / "a.wav", frames, 16000, subtype="FLOAT")
    with pytest.raises(AudioFileError, match=r"at 0\.250 s") as caught:
        read_clip(tmp_path / "a.wav", require_sound=False)
    assert caught.value.reason == "not_finite"
    assert len(read_clip(tmp_path / "a.wav", end_s=0.2)) == 6400


def test_silence_and_shortness(tmp_path):
    def write_float(frames: np.ndarray) -> Path:
        soundfile.write(tmp_path / "a.wav", frames, 16000, subtype="FLOAT")
        return tmp_path / "a.wav"

    assert reason(write_float(np.zeros(16000))) == "silent"
    assert reason(write_float(np.full(16000, 0.3))) == "silent"
    assert reason(write_float(np.stack([chirp(1, 16000)[:, 0], -chirp(1, 16000)[:, 0]], axis=1))) == "silent"
    assert reason(write_float(9e-6 * np.sign(chirp(1.0, 16000)))) == "silent"
    assert len(read_clip(write_float(1.1e-5 * np.sign(chirp(1.0, 16000))))) == 32000
    one_step = np.zeros(16000, dtype=np.int16)
    one_step[7] = 1
    soundfile.write(tmp_path / "a.wav", one_step, 16000)
    assert len(read_clip(tmp_path / "a.wav")) == 32000
    assert reason(write_float(chirp(1.0, 16000)[:1599])) == "too_short"
    assert len(read_clip(write_float(chirp(1.0, 16000)[:1600]))) == 3200
    assert reason(write_float(chirp(1.0, 16000)), start_s=0.95) == "too_short"
    assert reason(tmp_path / "a.wav", start_s=0.50001, end_s=0.50002) == "too_short"
    assert reason(tmp_path / "a.wav", start_s=1.0) == "out_of_range"
    assert reason(tmp_path / "a.wav", start_s=30.0, end_s=40.0) == "out_of_range"
    assert len(read_clip(tmp_path / "a.wav", start_s=0.95, require_sound=False)) == 1600
    assert len(read_clip(tmp_path / "a.wav", start_s=0.50001, end_s=0.50002, require_sound=False)) == 0
    check_waveform(np.zeros(0), 16000, "a.wav", require_sound=False)


@pytest.mark.parametrize(
    ("keywords", "argument"),
    [
        ({"sample_rate_hz": 0}, "sample_rate_hz"),
        ({"start_s": -1.0}, "start_s"),
        ({"start_s": float("nan")}, "start_s"),
        ({"end_s": 0.0}, "end_s"),
        ({"start_s": 2.0, "end_s": 2.0}, "end_s"),
    ],
)
def test_wrong_arguments(keywords, argument):
    with pytest.raises(ArgumentError, match=f"`{argument}`"):
        read_clip("a.wav", **keywords)


def test_errors_cross_process_borders(tmp_path):
    with pytest.raises(AudioFileError) as caught:
        read_clip(tmp_path / "none.wav")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.reason) == (str(caught.value), "missing")


def test_names_do_not_decide(tmp_path):
    shutil.move(write(tmp_path / "a.flac", chirp(0.5, 32000), 32000), tmp_path / "a.wav")
    assert len(read_clip(tmp_path / "a.wav")) == 16000


def test_fit_length():
    waveform = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(fit_length(waveform, 3), [0, 1, 2])
    np.testing.assert_array_equal(fit_length(waveform, 5), waveform)
    np.testing.assert_array_equal(fit_length(waveform, 7), [0, 1, 2, 3, 4, 0, 0])
    assert fit_length(waveform, 7).dtype == np.float32
    with pytest.raises(ArgumentError, match="num_samples"):
        fit_length(waveform, 0)
