"""Claim: a manifest of AudioSet's size opens in seconds, costs less than a gigabyte, and is shared by every worker.

It makes a manifest of 2 084 320 rows and 527 classes, and measures in separate processes: reading it from CSV, opening
its packed index, the first batch plan, the shuffle of an epoch, the batches of one of 32 processes, and the private
memory (`Private_*` of /proc/PID/smaps_rollup) of each of eight loader workers in excess of a worker with a few hundred
clips, forked and spawned. Seconds are processor time, with the file in the page cache. Linux only.

It writes index.json and index.md:

    python benchmarks/index.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.table.clip_index import write_index
from audio_dcls.labels import LabelSet
from audio_dcls.speed.machine import describe_machine
from bench_tools import manifest_scale as scale
from bench_tools.results import RESULTS, argument_parser, results_heading, verdict, write_results

NUM_WORKERS = 8
NUM_SMALL = 256
LIMITS = {
    "index: s to open": 5,
    "index: s to the first batch plan": 2,
    "index: MiB added at the peak": 1024,
    "CSV: s to open": 30,
    "forked: MiB per worker": 100,
    "spawned: MiB per worker": 100,
}


def measure_all(folder: Path, num_rows: int, num_workers: int) -> dict[str, float]:
    """All measurements by name."""
    csv, index, small = folder / "big.csv", folder / "big.clips", folder / "small.clips"
    labels, table = LabelSet.audioset(), scale.make_table(num_rows)
    Manifest(table, labels, "made").save(csv)
    started_s = time.perf_counter()
    write_index(load_manifest(csv, labels).table, labels, index)
    found = {"s from CSV to index": time.perf_counter() - started_s, "index: MB on disk": index.stat().st_size / 1e6}
    write_index(table.take(np.linspace(0, num_rows - 1, NUM_SMALL).astype(np.int64)), labels, small)
    num_train = table.split_sizes()["train"]
    del table
    for name, path in (("index", index), ("CSV", csv)):
        found |= {f"{name}: {key}": value for key, value in scale.in_new_process(scale.measure_opening, path).items()}
    found |= scale.in_new_process(scale.measure_order, num_train)
    for method in ("fork", "spawn"):
        many, few = (scale.in_new_process(scale.measure_workers, path, method, num_workers) for path in (index, small))
        found |= {f"{method}ed: MiB per worker": many - few, f"{method}ed: MiB per worker, {NUM_SMALL} clips": few}
    return found


def table_of(found: dict[str, float]) -> str:
    lines = ["| | measured | limit | |", "|---|---|---|---|"]
    for name, value in found.items():
        limit = LIMITS.get(name)
        wanted = " | " if limit is None else f"< {limit} | {verdict(value, '<', limit)}"
        lines.append(f"| {name} | {value:.3g} | {wanted} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--rows", type=int, default=scale.NUM_ROWS, help="rows of the manifest")
    parser.add_argument("--workers", type=int, default=NUM_WORKERS, help="loader workers")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write to")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure_all(Path(folder), args.rows, args.workers)
    report: dict[str, Any] = {
        "benchmark": "index",
        "machine": describe_machine(torch.device("cpu")),
        "settings": {"rows": args.rows, "workers": args.workers},
        "found": found,
        "limits": LIMITS,
    }
    write_results(args.out, report, results_heading(__doc__ or "", report["machine"]) + table_of(found))


if __name__ == "__main__":
    main()
