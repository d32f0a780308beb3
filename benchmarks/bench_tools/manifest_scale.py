"""A synthetic manifest of AudioSet's size, and measurements of it, each in a separate process.

Linux only: memory is read from /proc. Seconds are processor time, so that other processes do not count.
"""

from __future__ import annotations

import multiprocessing
import re
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch.utils.data

from audio_dcls.data.loading.sampler import StepBatchSampler, epoch_permutation
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.label_matrix import label_matrix
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.labels import LabelSet
from audio_dcls.speed.memory import resident_mib

NUM_ROWS = 2_084_320
"""The number of segments in AudioSet."""
NUM_CLASSES = 527
_NUM_RANKS = 32
BATCH_CLIPS = 4096
_WORKER_BATCH_CLIPS = 64
_WORKER_STEPS = 200
_LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)


def make_table(num_rows: int) -> ClipTable:
    """Rows as in AudioSet: ids of 11 letters, paths, times, and two labels on average, with few common sets of labels.

    Args:
        num_rows: at least 100; one in a hundred is in the split `eval`, the others are in `train`.
    """
    rng = np.random.default_rng(0)
    letters = _LETTERS[rng.integers(len(_LETTERS), size=(num_rows, 11))]
    letters[:, 7:] = _LETTERS[np.stack([np.arange(num_rows) // 64**power % 64 for power in range(4)], axis=1)]
    names = [name.decode() for name in letters.view("S11").ravel().tolist()]
    counts = rng.integers(1, 4, size=num_rows)
    ends = np.cumsum(counts)
    steps = np.cumsum((1 + 174 * rng.random(int(ends[-1])) ** 4).astype(np.int64))
    firsts = np.concatenate([[0], steps[ends[:-1] - 1]])
    starts_s = rng.integers(0, 60, size=num_rows) * 10.0
    return ClipTable(
        folder=Path(),
        ids=StringColumn.from_strings(names),
        paths=StringColumn.from_strings([f"audio/{name[:2]}/Y{name}.flac" for name in names]),
        start_s=starts_s,
        end_s=starts_s + 10,
        label_ends=ends,
        label_indices=((steps - np.repeat(firsts, counts)) % NUM_CLASSES).astype(np.int32),
        split_codes=(np.arange(num_rows) >= num_rows - num_rows // 100).astype(np.int32),
        split_names=("train", "eval"),
        sha256=StringColumn.blank(num_rows),
    )


def measure_opening(path: Path) -> dict[str, float]:
    """Time and memory to open a manifest from `make_table`.

    Args:
        path: CSV file or index.

    Returns:
        Seconds to open it, to the first batch plan of one process of 32, and for the matrix of its labels; the peak
        memory of the process, including Python, torch and this package; and how much the peak is above the memory
        before, including pages of the mapped file.
    """
    before_mib = resident_mib("VmRSS")
    started_s = time.process_time()
    manifest = load_manifest(path, LabelSet.audioset())
    opened_s = time.process_time()
    train = manifest.split("train").table
    batch = min(BATCH_CLIPS, len(train) // _NUM_RANKS * _NUM_RANKS)
    sampler = StepBatchSampler(
        len(train), batch, batch // _NUM_RANKS, 0, first_step=0, num_steps=1, num_ranks=_NUM_RANKS
    )
    for _, index in next(iter(sampler)):
        train[index]
    planned_s = time.process_time()
    label_matrix(train, NUM_CLASSES).sum(axis=0, dtype=np.int64)
    return {
        "s to open": opened_s - started_s,
        "s to the first batch plan": planned_s - opened_s,
        "s for the label matrix": time.process_time() - planned_s,
        "MiB added at the peak": resident_mib("VmHWM") - before_mib,
        "MiB of the process at the peak": resident_mib("VmHWM"),
    }


def measure_order(num_clips: int) -> dict[str, float]:
    """Seconds to shuffle an epoch, and to list the batches of one of 32 processes.

    Args:
        num_clips: clips in the epoch, at least a batch.
    """
    started_s = time.process_time()
    epoch_permutation(num_clips, seed=0, epoch=0)
    shuffled_s = time.process_time()
    num_steps = num_clips // BATCH_CLIPS
    rank, share = _NUM_RANKS - 1, BATCH_CLIPS // _NUM_RANKS
    for _ in StepBatchSampler(num_clips, BATCH_CLIPS, share, 0, 0, num_steps, rank, _NUM_RANKS):
        pass
    return {
        "s to shuffle an epoch": shuffled_s - started_s,
        "s to deal it to a process": time.process_time() - shuffled_s,
    }


def measure_workers(path: Path, start_method: Literal["fork", "spawn"], num_workers: int) -> float:
    """Mean private memory per worker of a data loader after many clips, in MiB.

    The table is a selection of rows, as after a check. The sound files do not exist, so nothing is decoded.

    Args:
        path: an index of `make_table`.
        start_method: how the workers start.
        num_workers: number of workers; it may exceed the number of processors.
    """
    table = load_manifest(path, LabelSet.audioset()).split("train").table
    table = table.take(np.arange(len(table)) % 100 != 7)
    dataset = ClipDataset(
        table,
        num_classes=NUM_CLASSES,
        sample_rate_hz=32_000,
        clip_samples=32,
    )
    batch = min(_WORKER_BATCH_CLIPS, len(dataset))
    num_steps = min(_WORKER_STEPS, len(dataset) // batch)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=StepBatchSampler(len(dataset), batch, batch, 0, 0, num_steps),
        num_workers=num_workers,
        collate_fn=dataset.collate,
        multiprocessing_context=start_method,
    )
    batches = iter(loader)
    for _ in range(num_steps):
        next(batches)
    return statistics.mean(_private_mib(process.pid) for process in multiprocessing.active_children() if process.pid)


def _private_mib(pid: int) -> float:
    """Memory that a process shares with no other process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(kib) for kib in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE)) / 1024


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in a new process, so that nothing else affects its memory.

    Raises:
        EOFError: the function failed; its traceback is on standard error.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sending, function, arguments))
    process.start()
    sending.close()
    try:
        return receiving.recv()
    finally:
        process.join()


def _answer(sending: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    sending.send(function(*arguments))
