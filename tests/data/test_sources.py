"""A clip of a manifest as a sound, and the rules by which it can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audio_dcls.data import load_manifest, read_clip
from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.sound.sound_stream import resampled_blocks
from audio_dcls.data.sources import ClipSound
from audio_dcls.data.table.clip import Clip
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


@pytest.mark.parametrize("clip_s", [0.05, 1.0, 9.0])
def test_audit_and_training_use_the_same_clips_for_every_clip_length(tmp_path: Path, clip_s: float) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(8_000)
    sounds = {
        "late": np.r_[np.zeros(16_000), noise],
        "silent": np.zeros(24_000),
        "early": np.r_[noise, np.zeros(16_000)],
    }
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 8_000)
    clips = [Clip(name, tmp_path / f"{name}.wav", None, None, (0,), "train") for name in sounds]
    clips.append(Clip("stretch", tmp_path / "late.wav", 0.0, 1.5, (0,), "train"))
    dataset = ClipDataset(clips, num_classes=1, sample_rate_hz=8_000, clip_samples=round(8_000 * clip_s))
    refused = {failure.id: failure.reason for failure in dataset.collate([dataset[0, i] for i in range(4)]).failures}
    outcomes = check_clips(clips).outcomes
    audited = {clip.id: outcome.reason for clip, outcome in zip(clips, outcomes, strict=True) if outcome.reason}
    assert refused == audited == {"silent": "silent", "stretch": "silent"}
