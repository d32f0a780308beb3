"""One run's folder: its checkpoints, status, metrics and results. `study_dir` describes the layout."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audio_dcls.errors import CheckpointError, RunError
from audio_dcls.files import flush_folder, write_atomically
from audio_dcls.models.checkpoint.folders import (
    BEST_FOLDER,
    CHECKPOINTS_FOLDER,
    LAST_FILE,
    MODEL_FILE,
    STATE_FILE,
    checkpoint_folder,
    checkpoint_folders,
)
from audio_dcls.models.checkpoint.tensor_file import check_digest
from audio_dcls.runs.run_files import METRICS_FILE, PER_CLASS_FILE, STATUS_FILE


class RunDir:
    """The folder of one run, `STUDY/seed-N`; the first write creates it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.status_path = self.path / STATUS_FILE
        self.metrics_path = self.path / METRICS_FILE
        self.tensorboard_folder = self.path / "tensorboard"
        self.best_folder = self.path / BEST_FOLDER
        self.positions_folder = self.path / "positions"
        self.eval_folder = self.path / "eval"
        self.per_class_path = self.path / PER_CLASS_FILE

    @property
    def seed(self) -> int:
        """The seed, from the folder's name."""
        return int(self.path.name.removeprefix("seed-"))

    def checkpoints(self) -> list[Path]:
        """Complete checkpoint folders, oldest first."""
        return checkpoint_folders(self.path)

    def newest_checkpoint(self) -> Path:
        """The newest complete checkpoint folder. Raises `RunError` if the run has no checkpoint."""
        found = self.checkpoints()
        if not found:
            raise RunError(f"run '{self.path}' has no checkpoint yet; train it further, or name another run")
        return found[-1]

    def model_folder(self, *, best: bool = False) -> Path:
        """The newest checkpoint, or the best one. Raises `RunError` if it does not exist."""
        if not best:
            return self.newest_checkpoint()
        if not (self.best_folder / MODEL_FILE).is_file():
            raise RunError(
                f"run '{self.path}' has no best checkpoint: there is one only if `data.validation_splits` names "
                "splits; use the newest checkpoint instead"
            )
        return self.best_folder

    def intact_checkpoint(self, *, is_averaged: bool = False) -> tuple[Path | None, list[str]]:
        """The newest checkpoint whose files are undamaged, and messages about newer, damaged ones.

        If the checkpoint's model is an average, the last weights are needed too.
        """
        names = (MODEL_FILE, STATE_FILE, *([LAST_FILE] if is_averaged else []))
        problems = []
        for folder in reversed(self.checkpoints()):
            problem = _damage(folder, names)
            if problem is None:
                return folder, problems
            problems.append(f"checkpoint '{folder}' is damaged ({problem})")
        return None, problems

    def checkpoint_path(self, step: int) -> Path:
        """Folder of the checkpoint after a number of steps."""
        return checkpoint_folder(self.path, step)

    def nonfinite_path(self, step: int) -> Path:
        """Report of a step whose loss or gradient was not finite."""
        return self.path / "nonfinite" / f"step-{step:08d}.json"

    def num_skipped(self, num_done: int) -> int:
        """Number of skipped steps among the first `num_done`, counted by their reports."""
        steps = [int(path.stem.removeprefix("step-")) for path in (self.path / "nonfinite").glob("step-*.json")]
        return sum(step <= num_done for step in steps)

    def begin_checkpoint(self, step: int) -> Path:
        """Create an empty temporary folder for a checkpoint; `finish_checkpoint` gives it its final name."""
        final = self.checkpoint_path(step)
        temporary = final.with_name(f".{final.name}.tmp")
        self.drop_unfinished()
        temporary.mkdir(parents=True)
        return temporary

    def drop_unfinished(self) -> None:
        """Remove the unfinished checkpoints of a killed process or a failed write."""
        for path in (self.path / CHECKPOINTS_FOLDER).glob(".step-*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def finish_checkpoint(self, temporary: Path, keep: int) -> Path:
        """Rename a complete temporary folder to its final name, and delete all but the newest `keep` checkpoints."""
        final = temporary.with_name(temporary.name.removeprefix(".").removesuffix(".tmp"))
        if final.exists():
            shutil.rmtree(final)
        os.replace(temporary, final)
        flush_folder(final.parent)
        for old in self.checkpoints()[:-keep]:  # renamed first, so that a killed process leaves no partial checkpoint
            os.replace(old, hidden := old.with_name(f".{old.name}.tmp"))
            shutil.rmtree(hidden)
        return final

    def status(self) -> dict[str, Any]:
        """Content of status.json; empty if the run was not started."""
        return json.loads(self.status_path.read_text(encoding="utf-8")) if self.status_path.is_file() else {}

    def write_status(self, **fields: Any) -> None:
        """Update status.json atomically."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.write_json(STATUS_FILE, {**self.status(), **fields, "updated": now})

    def write_json(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON file into the run, atomically."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / name, json.dumps(document, indent=2).encode())

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def drop_metrics_after(self, step: int) -> None:
        """Drop lines of steps later than `step`: a resumed run writes them again."""
        path = self.metrics_path
        if not path.is_file():
            return
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        write_atomically(path, "".join(line + "\n" for line in kept).encode())


def _damage(folder: Path, names: Sequence[str]) -> str | None:
    """The reason why a checkpoint folder is damaged; None if every file is as it was written."""
    for name in names:
        try:
            check_digest(folder / name)
        except (CheckpointError, OSError):
            return f"{name} is not as it was written" if (folder / name).is_file() else f"{name} is missing"
    return None
