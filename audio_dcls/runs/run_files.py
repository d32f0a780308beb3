"""Read the files of a run while another process writes them: anything missing, torn or damaged is left out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STATUS_FILE = "status.json"
METRICS_FILE = "metrics.jsonl"
PER_CLASS_FILE = "eval/per_class.csv"


def seed_folder(study: Path, seed: int) -> Path:
    """The folder of one seed of a study; it may not exist."""
    return study / f"seed-{seed}"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file such as status.json; empty if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_metrics(path: Path, *, last_bytes: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a metrics.jsonl, or of its last bytes, that have a step."""
    try:
        with path.open("rb") as file:
            if last_bytes is not None:
                size = file.seek(0, 2)
                file.seek(max(0, size - last_bytes))
                if size > last_bytes:
                    file.readline()
            for line in file:
                record = parse_metrics_line(line)
                if record is not None:
                    yield record
    except OSError:
        return


def parse_metrics_line(line: bytes) -> dict[str, Any] | None:
    r"""One line of metrics.jsonl; None if it is torn or damaged, or has no step.

    >>> parse_metrics_line(b'{"step": 3}\n'), parse_metrics_line(b'{"step": 3}'), parse_metrics_line(b'{"loss": 1}\n')
    ({'step': 3}, None, None)
    """
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return record if isinstance(step, int) and not isinstance(step, bool) and step >= 0 else None


def read_per_class(path: Path) -> list[dict[str, str]]:
    """Rows of a per_class.csv by column; empty if the file is missing or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if row.get("mid") and None not in row.values()]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
