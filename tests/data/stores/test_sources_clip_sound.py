"""A clip of a manifest as a sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from audio_dcls.data import load_manifest, read_clip
from audio_dcls.data.sound.sound_stream import resampled_blocks
from audio_dcls.data.stores.sources import ClipSound
from audio_dcls.labels import LabelSet


def whole(sound: Any, rate_hz: int = 32_000) -> np.ndarray:
    return np.concatenate(list(resampled_blocks(sound, sample_rate_hz=rate_hz)))


def stereo(seconds: float, rate_hz: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * rate_hz), 2)).astype(np.float32)


def test_a_clip_of_a_manifest_is_its_stretch(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", stereo(5.0, 32_000), 32_000)
    (tmp_path / "m.csv").write_text("id,path,start_s,end_s,labels,split\none,a.wav,1.5,3.25,a,eval\n")
    (clip,) = load_manifest(tmp_path / "m.csv", LabelSet(("a",), ("A",))).clips
    assert ClipSound(clip).name == "one"
    np.testing.assert_array_equal(whole(ClipSound(clip)), read_clip(tmp_path / "a.wav", start_s=1.5, end_s=3.25))
