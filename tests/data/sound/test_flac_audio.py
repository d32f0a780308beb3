"""FLAC in memory against libsndfile: the same samples of whole streams; what is not whole is left to libsndfile."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from audio_dcls.data.sound import decode, flac_audio
from audio_dcls.data.sound.decode import decode_mono
from audio_dcls.data.sound.flac_audio import FlacHeader, decode_whole_flac, parse_header
from audio_dcls.data.sound.stored_sound import EncodedSound
from audio_dcls.errors import AudioFileError


def flac_of(num_samples: int, num_channels: int = 1, rate_hz: int = 32_000, subtype: str = "PCM_16") -> bytes:
    rng = np.random.default_rng(num_samples)
    tone = np.sin(np.arange(num_samples) / 9)[:, None] * rng.uniform(0.1, 0.9, num_channels)
    stream = io.BytesIO()
    sound = tone + 0.05 * rng.standard_normal(tone.shape)
    soundfile.write(stream, sound, rate_hz, format="FLAC", subtype=subtype)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("num_samples", "num_channels", "rate_hz"),
    [(320_000, 1, 32_000), (5, 1, 8_000), (44_123, 2, 44_100), (9_000, 6, 96_000)],
)
def test_samples_are_libsndfiles(num_samples: int, num_channels: int, rate_hz: int) -> None:
    content = flac_of(num_samples, num_channels, rate_hz)
    assert parse_header(content) == FlacHeader(rate_hz, num_channels, 16, num_samples)
    found = decode_whole_flac(content)
    assert found is not None
    expected, expected_rate_hz = soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)
    np.testing.assert_array_equal(found[0], expected)
    assert found[1] == expected_rate_hz


@pytest.mark.parametrize(("start_s", "end_s"), [(None, None), (0.25, None), (None, 0.9), (0.1, 5.0)])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_a_clip_is_the_same_by_either(
    num_channels: int, start_s: float | None, end_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = EncodedSound(flac_of(32_000, num_channels), "a row")
    found, rate_hz = decode_mono(sound, start_s=start_s, end_s=end_s)
    monkeypatch.setattr(decode, "decode_whole_flac", lambda *_: None)
    expected, expected_rate_hz = decode_mono(sound, start_s=start_s, end_s=end_s)
    np.testing.assert_allclose(found, expected, atol=6e-8)  # the order of sums over channels
    if num_channels == 1:
        np.testing.assert_array_equal(found, expected)
    assert (found.shape, rate_hz) == (expected.shape, expected_rate_hz)


def test_the_rest_is_left_to_libsndfile(monkeypatch: pytest.MonkeyPatch) -> None:
    content = flac_of(32_000)
    assert decode_whole_flac(content) is not None
    assert decode_whole_flac(content, 0.3, 0.7) is None
    assert decode_whole_flac(content, 2.0) is None
    assert decode_whole_flac(flac_of(3_200, subtype="PCM_24")) is None
    assert decode_whole_flac(content[:-1000]) is None
    assert decode_whole_flac(content[:60]) is None
    assert decode_whole_flac(b"RIFF" + content[4:]) is None
    monkeypatch.setattr(flac_audio, "_has_dr_flac", lambda: False)
    assert decode_whole_flac(content) is None


def outcome(sound: EncodedSound) -> tuple[str, bytes]:
    try:
        return "", decode_mono(sound)[0].tobytes()
    except AudioFileError as error:
        return str(error), b""


def test_damage_has_the_outcome_it_has_by_libsndfile(monkeypatch: pytest.MonkeyPatch) -> None:
    content = flac_of(64_000)
    rng = np.random.default_rng(0)
    damaged = [content[: int(length)] for length in rng.integers(1, len(content), 20)]
    for place in rng.integers(42, len(content), 60).tolist():
        damaged.append(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
    found = [outcome(EncodedSound(each, "a row")) for each in damaged]
    monkeypatch.setattr(decode, "decode_whole_flac", lambda *_: None)
    assert found == [outcome(EncodedSound(each, "a row")) for each in damaged]
