"""Reading a run's folder while another process writes it: what is missing, torn or damaged is left out."""

from __future__ import annotations

import csv
import functools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from audio_dcls.service.runs.queue import RunEntry

TAIL_BYTES = 64 * 1024
"""Enough for the last hundred lines of metrics.jsonl."""
MAX_LOG_BYTES = 2_000_000


@dataclass(frozen=True)
class SeedFolder:
    """One seed of a run, begun or not."""

    case: str | None
    seed: int
    path: Path
    num_epochs: int | None
    batch: int | None
    """Clips of a step."""

    @property
    def metrics_path(self) -> Path:
        """Its curves."""
        return self.path / "metrics.jsonl"

    @property
    def per_class_path(self) -> Path:
        """Its scores per class, once it was measured."""
        return self.path / "eval" / "per_class.csv"

    @property
    def key(self) -> str:
        """Its seed, in a study of several cases after the case."""
        return str(self.seed) if self.case is None else f"{self.case}/{self.seed}"

    def status(self) -> dict[str, Any]:
        """Content of status.json; empty where there is none that can be read."""
        return read_json(self.path / "status.json")


def seed_folders(entry: RunEntry) -> list[SeedFolder]:
    """The seeds of a run, in the order they are trained."""
    config = _config(entry.config_path)
    folder = Path(entry.folder)
    if entry.kind == "train":
        found = [_seed_folder(None, seed, folder, config) for seed in _seeds(config)]
    else:
        cases = config.get("cases")
        cases = cases if isinstance(cases, dict) else {}
        found = [
            _seed_folder(name, seed, folder / name, case.get("config") if isinstance(case, dict) else None)
            for seed in _seeds(config)
            for name, case in cases.items()
        ]
    return found


def wanted_gpus(entry: RunEntry) -> int:
    """GPUs that a run's config asks for: `loop.devices` of them where `loop.accelerator` is cuda."""
    config = _config(entry.config_path)
    cases = config.get("cases")
    if isinstance(cases, dict) and cases:
        first = next(iter(cases.values()))
        config = first.get("config") if isinstance(first, dict) else None
    loop = config.get("loop") if isinstance(config, dict) else None
    if not isinstance(loop, dict) or loop.get("accelerator") != "cuda":
        return 0
    return whole_number(loop.get("devices")) or 1


def _seed_folder(case: str | None, seed: int, study: Path, config: Any) -> SeedFolder:
    loop = config.get("loop") if isinstance(config, dict) else None
    loop = loop if isinstance(loop, dict) else {}
    path = study / f"seed-{seed}"
    return SeedFolder(case, seed, path, whole_number(loop.get("epochs")), whole_number(loop.get("effective_batch")))


def _seeds(config: dict[str, Any]) -> list[int]:
    seeds = config.get("seeds")
    return [seed for seed in seeds if isinstance(seed, int)] if isinstance(seeds, list) else []


def _config(path: str) -> dict[str, Any]:
    """What a run was built of; the file is written once and not changed."""
    try:
        return _parsed_config(path, Path(path).stat().st_mtime_ns)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}


@functools.lru_cache(maxsize=512)
def _parsed_config(path: str, _changed_ns: int) -> dict[str, Any]:
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def metric_lines(path: Path, *, last_bytes: int | None = None) -> Iterator[dict[str, Any]]:
    """The whole lines of a metrics.jsonl that hold a step; a torn last one is left for later.

    Args:
        path: the file, which need not be there.
        last_bytes: read its end only.
    """
    try:
        with path.open("rb") as file:
            if last_bytes is not None:
                size = file.seek(0, 2)
                file.seek(max(0, size - last_bytes))
                if size > last_bytes:
                    file.readline()
            for line in file:
                record = parse_line(line)
                if record is not None:
                    yield record
    except OSError:
        return


def parse_line(line: bytes) -> dict[str, Any] | None:
    """One line of metrics.jsonl; None for one that is torn or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and whole_number(record.get("step")) is not None else None


def read_per_class(path: Path) -> list[dict[str, str]]:
    """Rows of a per_class.csv; none where it is missing or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if row.get("mid") and None not in row.values()]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def read_tail(path: Path, num_lines: int) -> list[str]:
    """The last lines of a text file; none where it is missing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_LOG_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return lines[-num_lines:] if num_lines > 0 else []


def number(value: Any) -> float | None:
    """A finite number, or None.

    >>> number(0.5), number("0.5"), number(float("nan")), number(True)
    (0.5, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole_number(value: Any) -> int | None:
    """A whole number that is not negative, or None.

    >>> whole_number(3), whole_number(-1), whole_number(3.0), whole_number(None)
    (3, None, None, None)
    """
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
