"""Manifests of millions of clips: every clip is used once, tables open fast, and workers share them."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.table.clip_index import read_index, write_index
from audio_dcls.labels import LabelSet
from bench_tools import manifest_scale as scale

LABELS = LabelSet.audioset()
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory from /proc")


def dataset_of(path: Path) -> ClipDataset:
    table = read_index(path, LABELS)
    rows = table.take(np.arange(len(table)) % 3 != 1)
    return ClipDataset(rows, num_classes=527, sample_rate_hz=32_000, clip_samples=32)


def test_made_rows_are_a_valid_manifest(tmp_path: Path) -> None:
    table = scale.make_table(3000)
    Manifest(table, LABELS, "made").save(tmp_path / "made.csv")
    read = load_manifest(tmp_path / "made.csv", LABELS)
    assert read.splits() == {"train": 2970, "eval": 30}
    for first, second in zip(table, read.clips, strict=True):
        assert (first.id, first.labels, first.start_s) == (second.id, second.labels, second.start_s)


@pytest.mark.parametrize("num_clips", [70_001, pytest.param(2_063_949, marks=pytest.mark.slow)])
def test_32_processes_are_dealt_every_clip_of_an_epoch_once(num_clips: int) -> None:
    num_ranks, batch = 32, 4096
    num_steps = num_clips // batch
    seen = np.zeros(num_clips, dtype=np.int64)
    for rank in range(num_ranks):
        for micro_batch in StepBatchSampler(num_clips, batch, batch // num_ranks, 3, 0, num_steps, rank, num_ranks):
            seen[[index for _, index in micro_batch]] += 1
    assert seen.max() == 1 and num_clips - seen.sum() < batch


def test_a_dataset_goes_to_spawned_workers_by_name(tmp_path: Path) -> None:
    write_index(scale.make_table(30_000), LABELS, tmp_path / "made.clips")
    dataset = dataset_of(tmp_path / "made.clips")
    sent = pickle.dumps(dataset)
    assert len(sent) < 4 * len(dataset) + 4096  # four bytes for the place of each clip
    again = pickle.loads(sent)
    assert [again.clips[index] for index in (0, 7, 19_999)] == [dataset.clips[index] for index in (0, 7, 19_999)]


@pytest.mark.parametrize("start_method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_read_a_mapped_table(start_method: str, tmp_path: Path) -> None:
    write_index(scale.make_table(300), LABELS, tmp_path / "made.clips")
    dataset = dataset_of(tmp_path / "made.clips")
    loader = eval_loader(dataset, 16, num_workers=1, start_method=start_method)  # pyright: ignore[reportArgumentType]
    failures = [problem for batch in loader for problem in batch.failures]
    assert [problem.id for problem in failures] == [clip.id for clip in dataset.clips]
    assert {problem.reason for problem in failures} == {"missing"}


@linux_only
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_audiosets_size_opens_in_seconds_and_is_shared(tmp_path: Path) -> None:
    big, small = tmp_path / "big.clips", tmp_path / "small.clips"
    table = scale.make_table(scale.NUM_ROWS)
    write_index(table, LABELS, big)
    write_index(table.take(np.arange(256) * 8000), LABELS, small)
    del table
    opening = scale.in_new_process(scale.measure_opening, big)
    assert opening["s to open"] < 5 and opening["s to the first batch plan"] < 2
    assert 100 < opening["MiB added at the peak"] < 1024
    for method in ("fork", "spawn"):
        many, few = (scale.in_new_process(scale.measure_workers, path, method, 8) for path in (big, small))
        assert many - few < 100, (method, many, few)
