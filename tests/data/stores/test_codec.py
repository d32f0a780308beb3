"""Stored sounds: what libsndfile and Python's wave module make of them, and the same bytes every time."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given, strategies

from audio_dcls.data.stores.codec import Codec, encode, ogg_checksum, stored_rate_hz, with_serial
from audio_dcls.errors import ArgumentError


def sound(num_samples: int = 20_001) -> np.ndarray:
    return (0.3 * np.random.default_rng(1).standard_normal(num_samples)).astype(np.float32)


@pytest.mark.parametrize("codec", [Codec.flac, Codec.pcm16])
def test_lossless_codecs_keep_every_16_bit_sample(codec):
    samples = np.random.default_rng(0).integers(-32_768, 32_768, 4801).astype(np.int16)
    content = encode(samples.astype(np.float32) / 32_768, 32_000, codec)
    found, rate_hz = soundfile.read(io.BytesIO(content), dtype="int16")
    np.testing.assert_array_equal(found, samples)
    assert rate_hz == 32_000


def test_what_is_too_loud_is_clipped_and_not_wrapped():
    content = encode(np.array([1.5, -1.5, 1.0, -1.0], dtype=np.float32), 8000, Codec.pcm16)
    assert soundfile.read(io.BytesIO(content), dtype="int16")[0].tolist() == [32_767, -32_768, 32_767, -32_768]


@pytest.mark.parametrize("num_samples", [0, 1, 777])
def test_pcm16_is_what_the_wave_module_writes(num_samples):
    samples = (sound(num_samples) * 32_768).round().clip(-32_768, 32_767).astype("<i2")
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(32_000)
        file.writeframes(samples.tobytes())
    assert encode(sound(num_samples), 32_000, Codec.pcm16) == stream.getvalue()


@pytest.mark.parametrize("codec", [Codec.flac, Codec.pcm16, Codec.opus])
def test_the_same_sound_gives_the_same_bytes(codec):
    rate_hz = stored_rate_hz(codec, 32_000)
    assert encode(sound(), rate_hz, codec) == encode(sound(), rate_hz, codec)


def test_opus_keeps_length_and_most_of_the_sound():
    t = np.arange(96_000) / 48_000
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    content = encode(tone, 48_000, Codec.opus)
    found, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32")
    assert (rate_hz, len(found)) == (48_000, 96_000)
    assert np.corrcoef(found[4800:-4800], tone[4800:-4800])[0, 1] > 0.99  # lossy, but a tone survives
    assert len(content) < 2 * len(tone) / 4


def test_the_serial_number_is_changed_on_every_page_and_nothing_else_is():
    stream = io.BytesIO()
    soundfile.write(stream, sound(48_000 * 3), 48_000, format="OGG", subtype="OPUS")
    content = stream.getvalue()
    changed = with_serial(content, 77)
    assert with_serial(changed, int.from_bytes(content[14:18], "little")) == content  # libsndfile's own checksums too
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(changed))[0], soundfile.read(io.BytesIO(content))[0])


@given(strategies.binary(max_size=60))
def test_the_checksum_is_that_of_a_slow_loop(data):
    register = 0
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = ((register << 1) ^ 0x04C11DB7 if register & 0x80000000 else register << 1) & 0xFFFFFFFF
    assert ogg_checksum(data) == register


def test_mistakes():
    with pytest.raises(ArgumentError, match="source"):
        encode(sound(), 32_000, Codec.source)
    with pytest.raises(ArgumentError, match="byte 0"):
        with_serial(b"RIFF" + bytes(40), 0)
