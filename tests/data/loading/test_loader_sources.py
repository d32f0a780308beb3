"""Loaders over each source: the same batches without workers, from forked ones, and from spawned ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch

from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.packing.packer import pack
from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import ArgumentError
from audio_dcls.labels import LabelSet

RATE_HZ = 32_000
NUM_CLIPS = 8
LABELS = LabelSet(ids=("/t/a", "/t/b"), names=("A", "B"))


def sounds() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.2 * rng.standard_normal(6400)).astype(np.float32) for _ in range(NUM_CLIPS)]


def files(folder: Path) -> Manifest:
    for index, sound in enumerate(sounds()):
        soundfile.write(folder / f"{index}.flac", sound, RATE_HZ)
    clips = [Clip(f"clip{i}", folder / f"{i}.flac", None, None, (i % 2,), "eval") for i in range(NUM_CLIPS)]
    return Manifest(clips, LABELS, "files")


def videos(folder: Path) -> Manifest:
    av = pytest.importorskip("av")
    for index, sound in enumerate(sounds()):
        with av.open(str(folder / f"{index}.m4a"), "w") as container:
            stream = container.add_stream("aac", rate=RATE_HZ)
            stream.layout = "mono"
            for start in range(0, len(sound), 1024):
                frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    clips = [Clip(f"clip{i}", folder / f"{i}.m4a", None, None, (i % 2,), "eval") for i in range(NUM_CLIPS)]
    return Manifest(clips, LABELS, "videos")


def hdf5(folder: Path) -> Manifest:
    with h5py.File(folder / "eval.h5", "w") as file:
        file["audio_name"] = [f"clip{index}.wav".encode() for index in range(NUM_CLIPS)]
        file["waveform"] = np.rint(32_767 * np.stack(sounds())).astype(np.int16)
        file["target"] = np.eye(2, dtype=bool)[np.arange(NUM_CLIPS) % 2]
        file.attrs["sample_rate"] = RATE_HZ
    return load_manifest(folder / "eval.h5", LABELS)


def packed(folder: Path) -> Manifest:
    pack(files(folder), folder / "pack", PackSettings(Codec.flac), num_workers=0)
    return load_manifest(folder / "pack", LABELS)


def dataset(manifest: Manifest, **changes: str) -> ClipDataset:
    return ClipDataset(
        manifest.clips,
        num_classes=2,
        sample_rate_hz=RATE_HZ,
        clip_samples=6400,
        **changes,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("make", [files, videos, hdf5, packed])
def test_forked_and_spawned_workers_load_the_same(make: Callable[[Path], Manifest], tmp_path: Path) -> None:
    data = dataset(make(tmp_path))
    expected = list(eval_loader(data, 3, 0))  # opens the store here, before workers are forked
    assert [len(batch) for batch in expected] == [3, 3, 2]
    for start_method in ("fork", "spawn"):
        batches = list(eval_loader(data, 3, 1, start_method=start_method))
        for ours, theirs in zip(batches, expected, strict=True):
            for field in dataclasses.fields(theirs):
                value = getattr(theirs, field.name)
                if isinstance(value, torch.Tensor):
                    torch.testing.assert_close(getattr(ours, field.name), value, rtol=0, atol=0)
                else:
                    assert getattr(ours, field.name) == value


def test_the_resampler_is_chosen_by_name(tmp_path: Path) -> None:
    manifest = files(tmp_path)
    high = dataset(manifest)
    high.sample_rate_hz, high.clip_samples = 24_000, 4800
    low = dataset(manifest, resample_quality="LQ")
    low.sample_rate_hz, low.clip_samples = 24_000, 4800
    difference = high[0, 0]["waveform"] - low[0, 0]["waveform"]  # type: ignore[typeddict-item]
    assert 0 < float(difference.abs().max()) < 0.5
    with pytest.raises(ArgumentError, match=r"`resample_quality` \(='best'\) must be one of QQ, LQ, MQ, HQ, VHQ"):
        dataset(manifest, resample_quality="best")
