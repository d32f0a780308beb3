"""Study and run directories: the only output of training, and the only thing the other commands read.

::

    STUDY/                   one config, one or more seeds
      config.yaml            the whole config, defaults included
      .lock                  held while it is trained
      clip_report.csv        every clip, and for those that cannot be used the reason
      seed-0/                one run
        status.json          state, step, epoch, last scores; replaced atomically
        pretrained.json      which weights were loaded, adapted, left random; with model.pretrained
        metrics.jsonl        one JSON object a line
        tensorboard/
        nonfinite/step-00000007.json  clips of a step whose loss or gradient was not finite
        checkpoints/step-00000120/{model.safetensors, state.safetensors, checksums.json}; last.safetensors where the
                             model is an average
        positions/step-00000068.safetensors  where the elements were after each epoch; with DCLS
        best/model.safetensors  of the highest mAP on the validation splits, where there are some
        eval/per_class.csv
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audio_dcls.errors import AudioDclsError, RunError
from audio_dcls.files import file_sha256, flush_folder, write_atomically
from audio_dcls.models.checkpoint.checkpoint import CHECKSUM_FILE
from audio_dcls.models.checkpoint.folders import (
    BEST_FOLDER,
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    MODEL_FILE,
    checkpoint_folder,
    checkpoint_folders,
    seed_folders,
)
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.locks import try_lock
from audio_dcls.runs.resumable_keys import changed_keys
from audio_dcls.runs.run_files import METRICS_FILE, PER_CLASS_FILE, STATUS_FILE, seed_folder
from audio_dcls.settings import build, dump_yaml, load_yaml


class RunDir:
    """One run, `STUDY/seed-N`.

    Args:
        path: the folder; made when first written to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def seed(self) -> int:
        """The seed, read off the folder's name."""
        return int(self.path.name.removeprefix("seed-"))

    @property
    def status_path(self) -> Path:
        """State, step, epoch and last scores, as JSON."""
        return self.path / STATUS_FILE

    @property
    def metrics_path(self) -> Path:
        """What was logged during the training, one JSON object per line."""
        return self.path / METRICS_FILE

    @property
    def tensorboard_folder(self) -> Path:
        """Folder of TensorBoard events."""
        return self.path / "tensorboard"

    @property
    def best_folder(self) -> Path:
        """Folder of the model that did best on the validation splits, where the config names some."""
        return self.path / BEST_FOLDER

    @property
    def positions_folder(self) -> Path:
        """Folder of records of where the elements of DCLS layers were (`audio_dcls.dcls.history_files`)."""
        return self.path / "positions"

    @property
    def eval_folder(self) -> Path:
        """Folder of evaluation results."""
        return self.path / "eval"

    @property
    def per_class_path(self) -> Path:
        """Scores per class on the run's own evaluation clips, as CSV."""
        return self.path / PER_CLASS_FILE

    def checkpoints(self) -> list[Path]:
        """Complete checkpoint folders, oldest first."""
        return checkpoint_folders(self.path)

    def newest_checkpoint(self) -> Path:
        """The newest complete checkpoint folder.

        Raises:
            RunError: the run has none.
        """
        found = self.checkpoints()
        if not found:
            raise RunError(f"run '{self.path}' has no checkpoint yet; train it further, or name another run")
        return found[-1]

    def model_folder(self, *, best: bool = False) -> Path:
        """The newest checkpoint, or the best one.

        Raises:
            RunError: there is none.
        """
        if not best:
            return self.newest_checkpoint()
        if not (self.best_folder / MODEL_FILE).is_file():
            raise RunError(
                f"run '{self.path}' has no best checkpoint: one is kept where `data.validation_splits` names splits to "
                "pick it by; measure the last one instead"
            )
        return self.best_folder

    def whole_checkpoint(self) -> tuple[Path | None, list[str]]:
        """The newest checkpoint whose files are as they were written, and what is wrong with newer ones."""
        problems = []
        for folder in reversed(self.checkpoints()):
            problem = _damage(folder)
            if problem is None:
                return folder, problems
            problems.append(f"checkpoint '{folder}' is damaged ({problem})")
        return None, problems

    def checkpoint_path(self, step: int) -> Path:
        """Folder of the checkpoint after so many steps."""
        return checkpoint_folder(self.path, step)

    def nonfinite_path(self, step: int) -> Path:
        """Report of a step whose loss or gradient was not finite."""
        return self.path / "nonfinite" / f"step-{step:08d}.json"

    def num_skipped(self, num_done: int) -> int:
        """Steps left out among the first `num_done`, by their reports."""
        steps = [int(path.stem.removeprefix("step-")) for path in (self.path / "nonfinite").glob("step-*.json")]
        return sum(step <= num_done for step in steps)

    def begin_checkpoint(self, step: int) -> Path:
        """A fresh temporary folder to write a checkpoint into; `finish_checkpoint` makes it count."""
        final = checkpoint_folder(self.path, step)
        temporary = final.with_name(f".{final.name}.tmp")
        self.drop_unfinished()
        temporary.mkdir(parents=True)
        return temporary

    def drop_unfinished(self) -> None:
        """Remove what a killed or failed writing of a checkpoint left."""
        for path in (self.path / CHECKPOINTS_FOLDER).glob(".step-*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def finish_checkpoint(self, temporary: Path, keep: int) -> Path:
        """Rename a complete temporary folder to its final name and drop all but the newest `keep`."""
        digests = {file.name: file_sha256(file) for file in sorted(temporary.iterdir())}
        write_atomically(temporary / CHECKSUM_FILE, json.dumps(digests, indent=2).encode())
        final = temporary.with_name(temporary.name.removeprefix(".").removesuffix(".tmp"))
        if final.exists():
            shutil.rmtree(final)
        os.replace(temporary, final)
        flush_folder(final.parent)
        for old in self.checkpoints()[:-keep]:  # first out of sight, so that a kill leaves no half of one
            os.replace(old, hidden := old.with_name(f".{old.name}.tmp"))
            shutil.rmtree(hidden)
        return final

    def status(self) -> dict[str, Any]:
        """Content of status.json, or an empty mapping for a run not begun."""
        path = self.status_path
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

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
        """Forget lines of steps later than `step`: a resumed run writes them anew."""
        path = self.metrics_path
        if not path.is_file():
            return
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        write_atomically(path, "".join(line + "\n" for line in kept).encode())


def _damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint folder; None for nothing. Without checksums its files are taken as they are."""
    path = folder / CHECKSUM_FILE
    if not path.is_file():
        return None
    try:
        digests: dict[str, str | list[str]] = json.loads(path.read_text(encoding="utf-8"))
        for name, known in digests.items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if file_sha256(folder / name) not in ([known] if isinstance(known, str) else known):
                return f"{name} is not as it was written"
    except (OSError, ValueError) as error:
        return f"{CHECKSUM_FILE}: {error}"
    return None


class StudyDir:
    """One config trained over seeds.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def report_path(self) -> Path:
        """The report of clips that cannot be used."""
        return self.path / "clip_report.csv"

    def create(self, config: TrainConfig) -> None:
        """Make the folder and write the config.

        Raises:
            RunError: the folder already holds a study or other files.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise RunError(
                f"output folder '{self.path}' is not empty; go on with it by --resume {self.path}, "
                "or give another --out"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / CONFIG_FILE, dump_yaml(config).encode())

    def config(self) -> TrainConfig:
        """The study's config.

        Raises:
            RunError: the folder is not a study.
        """
        path = self.path / CONFIG_FILE
        if not path.is_file():
            raise RunError(f"'{self.path}' is not a study folder (it has no config.yaml); check the path")
        return build(TrainConfig, load_yaml(path), str(path))

    def is_untrained(self) -> bool:
        """Whether every run that was begun ended before its first figure and checkpoint: there is nothing to lose."""
        return not any(
            run.status().get("state") in ("running", "done") or run.metrics_path.is_file() or run.checkpoints()
            for run in self.runs()
        )

    @contextlib.contextmanager
    def claimed(self, config: TrainConfig) -> Iterator[None]:
        """Keep other processes from training this study while the body runs.

        Args:
            config: of a study that is made where there is none; one that is untrained becomes one of this config, and
                what it knows of clips stays.

        Raises:
            RunError: the folder holds other files, or another process is training the study.
        """
        path = self.path / CONFIG_FILE
        if not path.is_file():
            self.create(config)
        with try_lock(self.path / ".lock") as is_ours:
            if not is_ours:
                raise RunError(
                    f"'{self.path}' is being trained by another process; wait until it ends, or give another --out"
                )
            if self.is_untrained() and changed_keys(self.config(), config):
                write_atomically(path, dump_yaml(config).encode())
            yield

    @contextlib.contextmanager
    def dropped_if_unused(self) -> Iterator[None]:
        """If the body fails before there is a run, a folder that the body made goes again."""
        was_there = self.path.exists()
        try:
            yield
        except AudioDclsError:
            if not was_there and not self.runs() and not self.report_path.is_file():
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    def mark_stopped(self) -> None:
        """Let no run seem to be running: its process ends."""
        for run in self.runs():
            if run.status().get("state") == "running":
                run.write_status(state="stopped")

    def run(self, seed: int) -> RunDir:
        """The run of one seed."""
        return RunDir(seed_folder(self.path, seed))

    def runs(self) -> list[RunDir]:
        """Runs begun, by seed."""
        return [RunDir(folder) for folder in seed_folders(self.path)]
