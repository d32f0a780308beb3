"""Read what is known about a run from its folder, while another process writes there: damaged files are left out."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from audio_dcls.runs.run_files import METRICS_FILE, PER_CLASS_FILE, STATUS_FILE, read_json, seed_folder
from audio_dcls.service.runs.queue import RunEntry

MAX_LOG_BYTES = 2_000_000


@dataclass(frozen=True)
class SeedFolder:
    """One seed of a run; its folder may not exist yet."""

    case: str | None
    """The case that the seed belongs to, in a study of several cases."""
    seed: int
    path: Path
    num_epochs: int | None
    batch: int | None
    """Clips per step."""

    @property
    def metrics_path(self) -> Path:
        """The curves, one JSON object per line."""
        return self.path / METRICS_FILE

    @property
    def per_class_path(self) -> Path:
        """The scores per class; the file exists once the seed is measured."""
        return self.path / PER_CLASS_FILE

    @property
    def key(self) -> str:
        """The seed; in a study of several cases CASE/SEED."""
        return str(self.seed) if self.case is None else f"{self.case}/{self.seed}"

    def status(self) -> dict[str, Any]:
        """The content of status.json; empty if the file is missing or damaged."""
        return read_json(self.path / STATUS_FILE)


def seed_folders(entry: RunEntry) -> list[SeedFolder]:
    """The seeds of a run, in the order in which they are trained."""
    config = _config(entry.config_path)
    seeds, folder = _seeds(config), Path(entry.folder)
    if entry.kind == "train":
        return [_seed_folder(None, seed, folder, config) for seed in seeds]
    cases = _mapping(config.get("cases"))
    return [
        _seed_folder(name, seed, folder / name, _mapping(case).get("config"))
        for seed in seeds
        for name, case in cases.items()
    ]


def num_gpus(entry: RunEntry) -> int:
    """The number of GPUs that a run needs: `loop.devices` if `loop.accelerator` is cuda, otherwise 0."""
    config: Any = _config(entry.config_path)
    cases = _mapping(config.get("cases"))
    if cases:
        config = _mapping(next(iter(cases.values()))).get("config")
    loop = _mapping(_mapping(config).get("loop"))
    return (whole_number(loop.get("devices")) or 1) if loop.get("accelerator") == "cuda" else 0


def read_tail(path: Path, num_lines: int) -> list[str]:
    """The last lines of a text file; empty if the file is missing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_LOG_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return lines[-num_lines:] if num_lines > 0 else []


def number(value: Any) -> float | None:
    """A finite number; None for any other value.

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
    """A whole number that is not negative; None for any other value.

    >>> whole_number(3), whole_number(-1), whole_number(3.0), whole_number(None)
    (3, None, None, None)
    """
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _seed_folder(case: str | None, seed: int, study: Path, config: Any) -> SeedFolder:
    loop = _mapping(_mapping(config).get("loop"))
    num_epochs, batch = whole_number(loop.get("epochs")), whole_number(loop.get("effective_batch"))
    return SeedFolder(case, seed, seed_folder(study, seed), num_epochs, batch)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _seeds(config: dict[str, Any]) -> list[int]:
    seeds = config.get("seeds")
    return [seed for seed in seeds if isinstance(seed, int)] if isinstance(seeds, list) else []


def _config(path: str) -> dict[str, Any]:
    """The config that a run was built from; empty if the file is missing or damaged."""
    try:
        return _parsed_config(path, Path(path).stat().st_mtime_ns)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}


@functools.lru_cache(maxsize=512)
def _parsed_config(path: str, _changed_ns: int) -> dict[str, Any]:
    return _mapping(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
