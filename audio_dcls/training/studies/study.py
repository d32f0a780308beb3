"""A study: one config, trained on its seeds one after another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.resumable_keys import changed_keys
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import TrainingClips
from audio_dcls.training.distributed.processes import build_fabric
from audio_dcls.training.interruption import StopRequest
from audio_dcls.training.loop import Trainer
from audio_dcls.training.train_events import RunStopped, TrainEvent


def default_study_folder(name: str, root: str | Path = "runs") -> Path:
    """`runs/NAME-YYYYMMDD-HHMMSS`, followed by a number if that folder exists."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    folder, number = Path(root) / stem, 2
    while folder.exists():
        folder, number = Path(root) / f"{stem}-{number}", number + 1
    return folder


def unfinished_study(config: TrainConfig, folder: Path | None, root: str | Path = "runs") -> StudyDir | None:
    """The study of this config, seeds included, that a command can resume; resumable keys may differ.

    Without a folder it is the newest unfinished study of that name under `root`.
    """
    folders = [folder] if folder is not None else sorted(Path(root).glob(f"{config.name}-*"), reverse=True)
    for candidate in folders:
        study = StudyDir(candidate)
        if not (candidate / "config.yaml").is_file() or changed_keys(study.config(), config):
            continue
        if folder is not None or any(study.run(seed).status().get("state") != "done" for seed in config.seeds):
            return study
    return None


def train_study(
    config: TrainConfig, study: StudyDir, clips: TrainingClips, fabric: Any = None, stop: StopRequest | None = None
) -> Iterator[TrainEvent]:
    """Train every seed that is not done yet, and resume from checkpoints if there are any.

    The status.json of a run that stops early has the state "stopped". A given fabric must be launched. Without a stop
    request the training never stops early.
    """
    fabric = fabric or build_fabric(config.loop)
    for seed in config.seeds:
        run_dir = study.run(seed)
        if run_dir.status().get("state") == "done":
            continue
        trainer = Trainer(config, seed, clips, run_dir, fabric, stop)
        finished = False
        try:
            for event in trainer.run():
                yield event
                if isinstance(event, RunStopped):
                    return
            finished = True
        finally:
            if not finished and fabric.is_global_zero and run_dir.status().get("state") == "running":
                run_dir.write_status(state="stopped")
