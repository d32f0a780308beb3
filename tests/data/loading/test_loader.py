"""Loaders: the same batches for any number of workers, every clip once, and errors that arrive."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from audio_dcls.data.augment.augmentation import Augmentation, SpectrogramSize
from audio_dcls.data.augment.random_erasing import RandomErasing, RandomErasingConfig
from audio_dcls.data.augment.shift_speed_gain import ShiftSpeedGain, ShiftSpeedGainConfig
from audio_dcls.data.loading.loader import eval_loader, train_loader
from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.data.loading.samples import Batch, ClipDataset
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import ArgumentError

RATE_HZ = 8000
NUM_CLIPS = 11
MISSING = 7
WAVEFORM = ShiftSpeedGain(ShiftSpeedGainConfig())
ERASING = RandomErasing(RandomErasingConfig(erase_probability=0.5), SpectrogramSize(33, 16, 51))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Eleven clips, one of which is not there."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for index in range(NUM_CLIPS):
        if index != MISSING:
            soundfile.write(folder / f"{index}.wav", 0.2 * rng.standard_normal(rng.integers(1000, 3000)), RATE_HZ)
    return [
        Clip(f"clip{index}", folder / f"{index}.wav", None, None, (index % 3,), "train") for index in range(NUM_CLIPS)
    ]


def dataset(
    clips: list[Clip], *, augmented: bool = True, kind: type[ClipDataset] = ClipDataset, **changes: Any
) -> ClipDataset:
    keywords: dict[str, Any] = {
        "num_classes": 3,
        "sample_rate_hz": RATE_HZ,
        "clip_samples": 2000,
        "augmentation": Augmentation(1, [WAVEFORM], [ERASING]) if augmented else None,
    }
    return kind(clips, **{**keywords, **changes})


def sampler(first_step: int = 0, num_steps: int = 6) -> StepBatchSampler:
    return StepBatchSampler(NUM_CLIPS, 4, 2, 1, first_step, num_steps)


def assert_same(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.failures == other.failures
        for name, value in vars(one).items():
            if isinstance(value, torch.Tensor | dict):
                torch.testing.assert_close(value, getattr(other, name), rtol=0, atol=0)


@pytest.fixture(scope="module")
def expected(clips: list[Clip]) -> list[Batch]:
    """Six steps of two micro-batches, loaded in this process."""
    return list(train_loader(dataset(clips), sampler(), 0))


@pytest.mark.parametrize("cache", ["none", "memory"])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_batches_do_not_depend_on_the_number_of_workers_or_the_cache(clips, expected, num_workers, cache):
    data = dataset(clips, cache=cache)
    assert_same(list(train_loader(data, sampler(), num_workers)), expected)
    listed = [problem.id for batch in expected for problem in batch.failures]
    assert len(expected) == 12 and listed and set(listed) == {f"clip{MISSING}"}


def test_spawned_workers_load_the_same_and_fill_the_cache_of_this_process(clips, expected):
    data = dataset(clips, cache="memory")
    assert_same(list(train_loader(data, sampler(), 1, start_method="spawn")), expected)
    for clip in clips:
        clip_path = clip.path.with_suffix(".gone")
        if clip.path.exists():
            clip.path.rename(clip_path)
    try:
        assert_same(list(train_loader(data, sampler(), 0))[:1], expected[:1])
    finally:
        for clip in clips:
            if clip.path.with_suffix(".gone").exists():
                clip.path.with_suffix(".gone").rename(clip.path)


def test_a_loader_begun_later_continues_the_same_sequence(clips, expected):
    assert_same(list(train_loader(dataset(clips), sampler(4, 2), 1)), expected[8:])


def test_the_global_generator_is_left_alone(clips):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for num_workers in (0, 1):
        assert len(list(train_loader(dataset(clips), sampler(0, 1), num_workers))) == 2
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 13])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_evaluation_has_every_clip_once_over_all_ranks(clips, num_ranks, batch_size):
    data = dataset(clips, augmented=False)
    batches = [batch for rank in range(num_ranks) for batch in eval_loader(data, batch_size, 0, rank, num_ranks)]
    seen = sorted(index for batch in batches for index in batch.indices.tolist())
    assert seen == [index for index in range(NUM_CLIPS) if index != MISSING]
    assert [problem.id for batch in batches for problem in batch.failures] == [f"clip{MISSING}"]
    assert max(len(batch) + len(batch.failures) for batch in batches) <= batch_size
    own = [len(eval_loader(data, 1, 0, rank, num_ranks)) for rank in range(num_ranks)]
    assert max(own) - min(own) <= 1


def test_evaluation_with_workers_keeps_the_order(clips):
    data = dataset(clips, augmented=False)
    assert_same(list(eval_loader(data, 4, 2)), list(eval_loader(data, 4, 0)))


class ProbeDataset(ClipDataset):
    """Describes the loading process in its waveforms."""

    def __getitem__(self, item: tuple[int, int]) -> Any:
        """Threads, whether interrupts are ignored, and the process."""
        sample: Any = super().__getitem__(item)
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        return {
            **sample,
            "waveform": torch.tensor([torch.get_num_threads(), ignored, os.getpid()], dtype=torch.float64),
        }


def test_workers_use_one_thread_ignore_interrupts_and_live_between_steps(clips):
    torch.set_num_threads(2)
    here = signal.getsignal(signal.SIGINT)  # a suite started in the background may already ignore it
    good = [clip for clip in clips if clip.path.exists()]
    loader = train_loader(dataset(good, kind=ProbeDataset), StepBatchSampler(len(good), 2, 2, 0, 0, 6), 2)
    measured = [torch.cat([batch.waveforms for batch in loader]) for _ in range(2)]
    assert (torch.cat(measured)[:, :2] == torch.tensor([1.0, 1.0])).all()
    workers = [set(one[:, 2].tolist()) for one in measured]
    assert len(workers[0]) == 2 and workers[0] == workers[1] and os.getpid() not in workers[0]
    assert torch.get_num_threads() == 2 and signal.getsignal(signal.SIGINT) == here


class BrokenAugmentation(ShiftSpeedGain):
    """A mistake in the program, not in a file."""

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Fail."""
        raise KeyError("boom")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_a_worker_arrives_with_its_message_and_the_clip(clips, num_workers):
    index = StepBatchSampler(NUM_CLIPS, 4, 2, 1, 0, 1).__iter__().__next__()[0][1]
    with pytest.raises(KeyError, match="boom") as caught:
        list(
            train_loader(
                dataset(clips, augmentation=Augmentation(0, [BrokenAugmentation(ShiftSpeedGainConfig())])),
                sampler(),
                num_workers,
            )
        )
    text = f"{caught.value} {getattr(caught.value, '__notes__', '')}"
    assert f"while loading clip '{clips[index].id}'" in text


def test_bad_arguments_are_refused_by_name(clips):
    data, plain = dataset(clips), dataset(clips, augmented=False)
    with pytest.raises(ArgumentError, match="num_clips=12"):
        train_loader(data, StepBatchSampler(12, 4, 4, 0, 0, 1), 0)
    with pytest.raises(ArgumentError, match=r"`num_workers` \(=-1\)"):
        train_loader(data, sampler(), -1)
    with pytest.raises(ArgumentError, match=r"`prefetch_batches` \(=0\)"):
        train_loader(data, sampler(), 1, prefetch_batches=0)
    with pytest.raises(ArgumentError, match="must not be augmented"):
        eval_loader(data, 4, 0)
    with pytest.raises(ArgumentError, match=r"`rank` \(=2\)"):
        eval_loader(plain, 4, 0, 2, 2)
    with pytest.raises(ArgumentError, match=r"`batch_size` \(=0\)"):
        eval_loader(plain, 0, 0)


def test_files_are_named_in_failures(clips):
    failures = [problem for batch in eval_loader(dataset(clips, augmented=False), 4, 1) for problem in batch.failures]
    assert [Path(problem.path).name for problem in failures] == [f"{MISSING}.wav"]
