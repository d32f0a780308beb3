"""Claim: a manifest the size of AudioSet opens in seconds, costs less than a gigabyte, and is shared by every worker.

Makes a manifest of 2 084 320 rows and 527 classes, and measures, each in a process of its own: reading it from CSV,
opening its packed index, the first batch plan, the shuffle of an epoch, the share of one of 32 processes, and the memory
of its own (`Private_*` of /proc/PID/smaps_rollup) that each of eight loader workers adds to one with a table of eight
clips, forked and spawned. Linux only. Writes index.json and index.md:

    python benchmarks/index.py
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio_dcls.benchmarking.machine import describe_machine
from audio_dcls.data.clip_index import write_index
from audio_dcls.data.clip_table import ClipTable
from audio_dcls.data.clips import ClipDataset
from audio_dcls.data.label_matrix import label_matrix
from audio_dcls.data.loader import train_loader
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.sampler import StepBatchSampler, epoch_permutation
from audio_dcls.data.string_column import StringColumn
from audio_dcls.labels import LabelSet

RESULTS = Path(__file__).parent / "results"
NUM_ROWS = 2_084_320
NUM_TRAIN = NUM_ROWS - 20_371
NUM_WORKERS = 8
NUM_RANKS = 32
BATCH = 4096
MIB = 2**20
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)
LIMITS = {
    "index: s to open": 5,
    "index: peak MiB": 1024,
    "index: s to the first batch plan": 2,
    "CSV: s to read": 30,
    "forked: MiB a worker": 100,
    "spawned: MiB a worker": 100,
}


def make_table(num_rows: int) -> ClipTable:
    """Rows as AudioSet's: ids of 11 letters, a path and times each, two labels on average, train and eval."""
    rng = np.random.default_rng(0)
    letters = LETTERS[rng.integers(len(LETTERS), size=(num_rows, 11))]
    letters[:, 7:] = LETTERS[np.stack([np.arange(num_rows) // 64**power % 64 for power in range(4)], axis=1)]
    ids = StringColumn(letters.ravel(), np.arange(1, num_rows + 1, dtype=np.int64) * 11)
    names = [f"audio/{name[:2]}/Y{name}.flac" for name in ids.to_list()]
    counts = rng.integers(1, 4, size=num_rows)
    ends = np.cumsum(counts)
    steps = rng.integers(1, 527 // 3, size=int(ends[-1])).astype(np.int32)
    starts_s = rng.integers(0, 60, size=num_rows) * 10.0
    firsts = np.concatenate([[0], np.cumsum(steps, dtype=np.int64)[ends[:-1] - 1]])
    return ClipTable(
        folder=Path(),
        ids=ids,
        paths=StringColumn.from_strings(names),
        start_s=starts_s,
        end_s=starts_s + 10,
        label_ends=ends,
        label_indices=((np.cumsum(steps, dtype=np.int64) - np.repeat(firsts, counts)) % 527).astype(np.int32),
        split_codes=(np.arange(num_rows) >= num_rows - num_rows // 100).astype(np.int32),
        split_names=("train", "eval"),
        sha256=StringColumn.from_strings([""] * num_rows),
    )


def private_mib(pid: int) -> float:
    """Memory of a process that it shares with no other."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(kib) for kib in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE)) / 1024


def measure_opening(path: Path) -> dict[str, float]:
    """Seconds and memory from a path to the first batch plan, in this process."""
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started_s = time.perf_counter()
    manifest = Manifest.load(path, LabelSet.audioset())
    opened_s = time.perf_counter()
    train = manifest.split("train").table
    sampler = StepBatchSampler(
        len(train), BATCH, BATCH // NUM_RANKS, seed=0, first_step=0, num_steps=1, num_ranks=NUM_RANKS
    )
    clips = [train[index] for _, index in next(iter(sampler))]
    planned_s = time.perf_counter()
    matrix = label_matrix(train, 527)
    per_class = np.asarray(matrix.sum(axis=0, dtype=np.int64))
    counted_s = time.perf_counter()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert len(clips) == BATCH // NUM_RANKS and per_class.sum() == len(train.label_indices)
    return {
        "s to open": opened_s - started_s,
        "s to the first batch plan": planned_s - opened_s,
        "s for the label matrix and its class counts": counted_s - planned_s,
        "peak MiB": peak_mib - before_mib,
    }


def measure_order(num_clips: int) -> dict[str, float]:
    """Seconds for an epoch's shuffle, and for all batches of one of 32 processes."""
    started_s = time.perf_counter()
    epoch_permutation(num_clips, seed=0, epoch=0)
    shuffled_s = time.perf_counter()
    num_steps = num_clips // BATCH
    sampler = StepBatchSampler(
        num_clips, BATCH, BATCH // NUM_RANKS, 0, 0, num_steps, rank=NUM_RANKS - 1, num_ranks=NUM_RANKS
    )
    num_dealt = sum(len(batch) for batch in sampler)
    dealt_s = time.perf_counter()
    assert num_dealt == num_steps * BATCH // NUM_RANKS
    return {"s to shuffle": shuffled_s - started_s, "s for one process's epoch": dealt_s - shuffled_s}


def measure_workers(path: Path, start_method: str, num_workers: int) -> float:
    """Mean private MiB of loader workers that have touched many clips; no sound file is there, so none is decoded."""
    table = Manifest.load(path, LabelSet.audioset()).split("train").table
    numbers = {"sample_rate_hz": 32_000, "clip_samples": 32, "num_bins": 1, "num_frames": 1, "seed": 0}
    dataset = ClipDataset(
        table.take(np.arange(len(table)) % 100 != 7), num_classes=527, augment=None, erase=None, **numbers
    )
    batch = min(64, len(dataset))
    num_steps = min(200, len(dataset) // batch)
    loader = train_loader(
        dataset, StepBatchSampler(len(dataset), batch, batch, 0, 0, num_steps), num_workers, start_method=start_method
    )
    batches = iter(loader)
    for _ in range(num_steps):
        next(batches)
    return statistics.mean(private_mib(worker.pid) for worker in batches._workers)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """A call in a fresh process, whose memory nothing else has touched."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def measure_all(folder: Path, num_rows: int, num_workers: int) -> dict[str, float]:
    """Every figure, by name."""
    csv, index, small = folder / "big.csv", folder / "big.clips", folder / "small.clips"
    labels = LabelSet.audioset()
    table = make_table(num_rows)
    Manifest(table, labels, "made").save(csv)
    started_s = time.perf_counter()
    write_index(Manifest.load(csv, labels).table, labels, index)
    found = {"s from CSV to index": time.perf_counter() - started_s, "index: MB": index.stat().st_size / 1e6}
    write_index(table.take(np.arange(num_rows) % (num_rows // 128) == 0), labels, small)
    del table
    found |= {f"index: {name}": value for name, value in apart(measure_opening, index).items()}
    from_csv = apart(measure_opening, csv)
    found |= {"CSV: s to read": from_csv["s to open"], "CSV: peak MiB": from_csv["peak MiB"]}
    found |= {f"epoch: {name}": value for name, value in apart(measure_order, NUM_TRAIN).items()}
    for method in ("fork", "spawn"):
        many, few = (apart_workers(path, method, num_workers) for path in (index, small))
        found[f"{method}ed: MiB a worker"] = many - few
        found[f"{method}ed: MiB a worker with 128 clips"] = few
    return found


def apart_workers(path: Path, method: str, num_workers: int) -> float:
    """Workers of a fresh process: a pool's own processes may have no children."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send_workers, args=(sending, path, method, num_workers))
    process.start()
    value = receiving.recv()
    process.join()
    return value


def _send_workers(sending: Any, path: Path, method: str, num_workers: int) -> None:
    sending.send(measure_workers(path, method, num_workers))


def table_of(found: dict[str, float]) -> str:
    lines = ["| | measured | limit | |", "|---|---|---|---|"]
    for name, value in found.items():
        limit = LIMITS.get(name)
        verdict = "" if limit is None else "met" if value < limit else "missed"
        lines.append(f"| {name} | {value:.3g} | {'' if limit is None else f'< {limit}'} | {verdict} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=NUM_ROWS, help="rows of the manifest")
    parser.add_argument("--workers", type=int, default=NUM_WORKERS, help="loader workers")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write to")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        found = measure_all(Path(folder), args.rows, args.workers)
    report = {
        "benchmark": "index",
        "machine": describe_machine(torch.device("cpu")),
        "settings": {"rows": args.rows, "workers": args.workers},
        "found": found,
        "limits": LIMITS,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "index.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (args.out / "index.md").write_text(table_of(found), encoding="utf-8")
    sys.stdout.write(table_of(found))


if __name__ == "__main__":
    main()
