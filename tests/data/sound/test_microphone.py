"""Sound of a microphone, from a device that is made up here."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from audio_dcls.data.sound.microphone import MicrophoneSound
from audio_dcls.errors import ArgumentError, AudioFileError


class FakePortAudio:
    """The used part of `sounddevice`: a device of 48 kHz with two channels."""

    PortAudioError = RuntimeError

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks

    def query_devices(self, device: object, kind: str) -> dict[str, float]:
        if device == "none":
            raise ValueError("no input device matching 'none'")
        assert kind == "input"
        return {"default_samplerate": 48_000.0}

    def InputStream(self, *, callback: Any, blocksize: int, **_: Any) -> Any:  # noqa: N802
        def enter(_self: object) -> None:
            for block in range(self.num_blocks):
                frames = np.full((blocksize, 2), block, dtype=np.float32)
                frames[:, 1] += 1
                callback(frames, blocksize, None, None)

        return type("Stream", (), {"__enter__": enter, "__exit__": lambda *_: None})()


def test_a_microphone_is_recorded_for_the_requested_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", FakePortAudio(5))
    recorded = np.concatenate([block for block, rate_hz in MicrophoneSound(0.6).blocks() if rate_hz == 48_000])
    assert len(recorded) == round(0.6 * 48_000)
    assert recorded[0] == 0.5 and recorded[-1] == 2.5
    monkeypatch.setattr("audio_dcls.data.sound.microphone.WAIT_S", 0.01)
    with pytest.raises(AudioFileError, match="gave no sound for"):
        list(MicrophoneSound(60.0).blocks())
    with pytest.raises(ArgumentError, match=r"microphone 'none' cannot be used .*lists the devices"):
        list(MicrophoneSound(1.0, "none").blocks())
    with pytest.raises(ArgumentError, match=r"`duration_s` \(=0\)"):
        list(MicrophoneSound(0).blocks())


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ArgumentError, match=r"audio-dcls\[mic\]"):
        list(MicrophoneSound(1.0).blocks())
