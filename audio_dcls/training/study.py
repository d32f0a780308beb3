"""A study: one config trained over its seeds, one run after another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from audio_dcls.training.clips import TrainingClips
from audio_dcls.training.config import TrainConfig
from audio_dcls.training.events import TrainEvent
from audio_dcls.training.loop import Trainer
from audio_dcls.training.run_dir import StudyDir


def default_study_folder(name: str, root: str | Path = "runs") -> Path:
    """`runs/NAME-YYYYMMDD-HHMMSS`, or with a number behind it where that is taken."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    folder, number = Path(root) / stem, 2
    while folder.exists():
        folder, number = Path(root) / f"{stem}-{number}", number + 1
    return folder


def train_study(config: TrainConfig, study: StudyDir, clips: TrainingClips) -> Iterator[TrainEvent]:
    """Train every seed that is not done yet, going on from checkpoints where there are some.

    A run that stops early says so in its status.json.

    Yields:
        What happens, run after run.
    """
    for seed in config.seeds:
        run_dir = study.run(seed)
        if run_dir.status().get("state") == "done":
            continue
        trainer = Trainer(config, seed, clips, run_dir)
        finished = False
        try:
            yield from trainer.run()
            finished = True
        finally:
            if not finished:
                run_dir.write_status(state="stopped")
