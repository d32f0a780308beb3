"""Clips as samples: decoding, augmentation by counters, failures that are listed, and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.augment.augmentation import Augmentation, SpectrogramSize
from audio_dcls.data.augment.mel_masks import MelMasks, MelMasksConfig
from audio_dcls.data.augment.random_erasing import RandomErasing, RandomErasingConfig
from audio_dcls.data.augment.shift_speed_gain import ShiftSpeedGain, ShiftSpeedGainConfig
from audio_dcls.data.loading.samples import Batch, ClipDataset
from audio_dcls.data.sound.decode import fit_length, read_clip
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import ArgumentError

RATE_HZ = 8000
CLIP_SAMPLES = 4000
NUM_CLASSES = 3
SIZE = SpectrogramSize(num_bins=33, num_mels=16, num_frames=51)
WAVEFORM = ShiftSpeedGain(ShiftSpeedGainConfig())
ERASING = RandomErasing(RandomErasingConfig(erase_probability=0.5), SIZE)
MASKS = MelMasks(MelMasksConfig(freq_mask_mels=5, time_mask_frames=7), SIZE)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Six good clips of 0.25 to 1 s; the third is a part of a longer file."""
    rng = np.random.default_rng(0)
    made = []
    for index, num_samples in enumerate((2000, 4000, 8000, 5000, 3333, 4001)):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, 0.2 * rng.standard_normal(num_samples), RATE_HZ)
        start_s, end_s = (0.25, 0.6) if index == 2 else (None, None)
        made.append(Clip(f"clip{index}", path, start_s, end_s, (index % 3, 2), "train"))
    return made


def broken(folder: Path) -> list[Clip]:
    """A clip of each kind that cannot be used."""
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound at all\n" * 100)
    soundfile.write(folder / "nan.wav", np.full(4000, np.nan, dtype=np.float32), RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", np.zeros(40000), RATE_HZ)
    names = ("missing.wav", "empty.wav", "text.wav", "nan.wav", "silent.wav")
    return [Clip(name, folder / name, None, None, (0,), "train") for name in names]


def dataset(clips: list[Clip], **changes: Any) -> ClipDataset:
    keywords: dict[str, Any] = {
        "num_classes": NUM_CLASSES,
        "sample_rate_hz": RATE_HZ,
        "clip_samples": CLIP_SAMPLES,
        "augmentation": Augmentation(4, [WAVEFORM], [ERASING, MASKS]),
    }
    return ClipDataset(clips, **{**keywords, **changes})


def sample_of(data: ClipDataset, epoch: int, index: int) -> Any:
    return data[epoch, index]


def test_without_augmentation_a_sample_is_the_clip_cut_or_padded(clips):
    data = dataset(clips, augmentation=None)
    assert len(data) == 6
    for index, clip in enumerate(clips):
        sample = sample_of(data, 0, index)
        whole = read_clip(clip.path, sample_rate_hz=RATE_HZ, start_s=clip.start_s, end_s=clip.end_s)
        np.testing.assert_array_equal(sample["waveform"].numpy(), fit_length(whole, CLIP_SAMPLES))
        assert sample["waveform"].dtype == torch.float32
        assert sample["target"].tolist() == [float(label in clip.labels) for label in range(NUM_CLASSES)]
        assert sample["draws"] == {}
    assert not sample_of(data, 0, 2)["waveform"][2800:].any()  # 0.25 to 0.6 s of its file


def test_draws_depend_on_seed_epoch_and_index_alone(clips):
    data = dataset(clips)
    for epoch, index in [(1, 5), (0, 0), (1, 5), (7, 2)]:
        sample = sample_of(data, epoch, index)
        clip = clips[index]
        whole = read_clip(clip.path, sample_rate_hz=RATE_HZ, start_s=clip.start_s, end_s=clip.end_s)
        expected = WAVEFORM(fit_length(whole, CLIP_SAMPLES), counted_rng(4, epoch, index, stream="waveform"))
        np.testing.assert_array_equal(sample["waveform"].numpy(), expected)
        box = ERASING.draw(counted_rng(4, epoch, index, stream="erase"))
        assert sample["draws"]["erase"].tolist() == box.tolist()
        masks = MASKS.draw(counted_rng(4, epoch, index, stream="mask"))
        assert sample["draws"]["mask"].tolist() == masks.tolist()
    assert not torch.equal(sample_of(data, 0, 0)["waveform"], sample_of(data, 1, 0)["waveform"])
    other = dataset(clips, augmentation=Augmentation(5, [WAVEFORM]))
    assert not torch.equal(sample_of(data, 0, 0)["waveform"], sample_of(other, 0, 0)["waveform"])


def test_a_long_file_is_resampled_and_cut_as_its_first_seconds_are(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * np.sin(0.05 * np.arange(16000 * 5)), 16000)
    data = dataset([Clip("long", path, None, None, (), "train")], augmentation=None)
    whole = read_clip(path, sample_rate_hz=RATE_HZ)[:CLIP_SAMPLES]
    difference = np.abs(sample_of(data, 0, 0)["waveform"].numpy() - whole)
    assert difference[:-100].max() < 1e-5  # the resampler's window is cut at the end of what is read, not before


def test_failures_are_listed_with_their_reason_and_leave_their_slots_out(clips, tmp_path):
    bad = broken(tmp_path)
    data = dataset([bad[0], clips[0], bad[1], bad[2], clips[1], bad[3], bad[4]])
    order = [6, 1, 0, 2, 4, 3, 5]
    batch = data.collate([data[0, index] for index in order])
    assert batch.indices.tolist() == [1, 4] and batch.slots.tolist() == [1, 4] and len(batch) == 2
    assert [(problem.id, problem.reason) for problem in batch.failures] == [
        ("silent.wav", "silent"),
        ("missing.wav", "missing"),
        ("empty.wav", "empty"),
        ("text.wav", "unreadable"),
        ("nan.wav", "not_finite"),
    ]
    for problem in batch.failures:
        assert problem.id in problem.message and problem.split == "train" and Path(problem.path).name == problem.id
    assert batch.waveforms.shape == (2, CLIP_SAMPLES) and batch.targets.shape == (2, NUM_CLASSES)
    assert batch.draws["erase"].shape == (2, 4) and batch.draws["mask"].shape == (2, 2, 4)
    assert batch.waveforms.abs().amax(dim=1).min() > 0
    torch.testing.assert_close(batch.waveforms[1], sample_of(data, 0, 4)["waveform"], rtol=0, atol=0)


def test_a_batch_of_failures_alone_keeps_its_shapes(tmp_path):
    data = dataset(broken(tmp_path))
    batch = data.collate([data[0, index] for index in range(5)])
    assert len(batch) == 0 and len(batch.failures) == 5
    shapes = [tuple(tensor.shape) for tensor in vars(batch).values() if isinstance(tensor, torch.Tensor)]
    assert shapes == [(0, CLIP_SAMPLES), (0, NUM_CLASSES), (0,), (0,)]
    assert batch.waveforms.dtype == torch.float32 and batch.draws == {}


def test_cached_samples_are_bit_for_bit_the_uncached_ones(clips, tmp_path):
    clips = [*clips, *broken(tmp_path)]
    plain, cached = dataset(clips), dataset(clips, cache="memory")
    for epoch in range(3):
        for index in range(len(clips)):
            ours, theirs = sample_of(cached, epoch, index), sample_of(plain, epoch, index)
            assert ours.keys() == theirs.keys()
            if "waveform" in ours:
                torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    clips[1].path.unlink()
    assert "waveform" in sample_of(cached, 3, 1) and "failure" in sample_of(plain, 3, 1)


@pytest.mark.parametrize("augmentation", [None, Augmentation(0, spectrogram=[MASKS])])
def test_changing_a_sample_does_not_change_the_cache(clips, augmentation):
    data = dataset(clips, augmentation=augmentation, cache="memory")
    for _ in range(2):
        waveform = sample_of(data, 0, 1)["waveform"]
        kept = waveform.clone()
        waveform.zero_()
        torch.testing.assert_close(sample_of(data, 0, 1)["waveform"], kept, rtol=0, atol=0)


class BrokenAugmentation(ShiftSpeedGain):
    """A mistake in the program, not in a file."""

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Fail."""
        raise KeyError("boom")


def test_an_unexpected_error_names_the_clip(clips):
    with pytest.raises(KeyError) as caught:
        dataset(clips, augmentation=Augmentation(0, [BrokenAugmentation(ShiftSpeedGainConfig())]))[0, 3]
    assert caught.value.__notes__ == [f"while loading clip 'clip3' from '{clips[3].path}'"]


def test_a_batch_moves_to_another_device_whole(clips):
    data = dataset(clips)
    batch = data.collate([data[0, index] for index in range(3)])
    moved = batch.to("meta")
    assert isinstance(moved, Batch)
    assert all(tensor.is_meta for tensor in vars(moved).values() if isinstance(tensor, torch.Tensor))
    assert len(moved.draws) == 2 and all(tensor.is_meta for tensor in moved.draws.values())
    assert moved.failures == () and len(moved) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 2}, r"`num_classes` \(=2\) must be above every label index, and a clip has index 2"),
        ({"clip_samples": 0}, r"`clip_samples` \(=0\)"),
        ({"cache": "disk"}, r"`cache` \(='disk'\)"),
    ],
)
def test_bad_settings_are_refused_when_the_dataset_is_made(clips, changes, message):
    with pytest.raises(ArgumentError, match=message):
        dataset(clips, **changes)
