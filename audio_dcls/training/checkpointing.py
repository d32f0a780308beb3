"""When a run writes checkpoints, what is in them, and going on from the newest whole one."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from pathlib import Path
from typing import Any

import torch

from audio_dcls.data.table.clip_set import id_hash
from audio_dcls.errors import CheckpointError, RunError
from audio_dcls.evaluation.metrics import TaggingMetrics
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint
from audio_dcls.models.checkpoint.tensor_file import MODEL_FILE, load_tensors, save_tensors
from audio_dcls.runs.config import LoopConfig, TrainConfig
from audio_dcls.runs.run_dir import LAST_FILE, STATE_FILE, RunDir
from audio_dcls.runs.usable_clips import TrainingClips
from audio_dcls.training.learning.averaging import WeightAverage
from audio_dcls.training.resume import load_training_state, save_training_state

PACKAGES = ("audio-dcls", "torch", "timm", "numpy", "soundfile", "soxr", "lightning-fabric")


class CheckpointClock:
    """Says after which steps a checkpoint is due.

    Args:
        loop: how often.
        steps_per_epoch: optimiser steps in an epoch.
        num_steps: optimiser steps of the run; the last is always due.
    """

    def __init__(self, loop: LoopConfig, steps_per_epoch: int, num_steps: int) -> None:
        self.loop, self.steps_per_epoch, self.num_steps = loop, steps_per_epoch, num_steps
        self.written_s = time.monotonic()

    def is_due(self, num_done: int) -> bool:
        """Whether a checkpoint is due after `num_done` steps of the run; by minutes, only this process knows."""
        epoch, remainder = divmod(num_done, self.steps_per_epoch)
        by_epoch = remainder == 0 and epoch % self.loop.checkpoint_every_epochs == 0
        every = self.loop.checkpoint_every_steps
        by_step = every is not None and num_done % every == 0
        return num_done == self.num_steps or by_epoch or by_step or self.is_late()

    def is_late(self) -> bool:
        """Whether more minutes have passed than may."""
        most = self.loop.checkpoint_every_minutes
        return most is not None and time.monotonic() - self.written_s >= 60 * most

    def restart(self) -> None:
        """A checkpoint has just been written."""
        self.written_s = time.monotonic()


def write_checkpoint(
    run_dir: RunDir,
    model: Any,
    optimizer: torch.optim.Optimizer,
    *,
    config: TrainConfig,
    clips: TrainingClips,
    seed: int,
    step: int,
    epoch: float,
    metrics: TaggingMetrics | None,
    average: WeightAverage | None = None,
) -> Path:
    """Write weights and everything needed to go on from `step`; what was there before stays until it is whole.

    With an average, that is the checkpoint's model, and the last weights lie beside it.

    Raises:
        RunError: the disk is full or the folder cannot be written; the checkpoint before stays the newest.
    """
    place = {"seed": seed, "step": step, "epoch": epoch}
    try:
        folder = run_dir.begin_checkpoint(step)
        _save_model(folder, model if average is None else average.model, config, clips, metrics, place)
        if average is not None:
            save_tensors(folder / LAST_FILE, model.state_dict(), {"kind": "last_weights", "step": step})
        numbers = {"step": step, "seed": seed, "num_averaged": 0 if average is None else average.num_averaged}
        save_training_state(folder / STATE_FILE, optimizer, numbers)
        return run_dir.finish_checkpoint(folder, keep=config.loop.keep_checkpoints)
    except OSError as error:
        run_dir.drop_unfinished()
        kept = run_dir.checkpoints()
        last = f"the last whole one is '{kept[-1]}'" if kept else "there is none before it"
        raise RunError(
            f"the checkpoint of step {step} cannot be written to '{run_dir.path}' ({error.strerror or error}); {last}: "
            "make room, and go on with --resume"
        ) from error


def write_best(
    run_dir: RunDir,
    model: Any,
    *,
    config: TrainConfig,
    clips: TrainingClips,
    metrics: TaggingMetrics,
    seed: int,
    step: int,
    epoch: float,
) -> None:
    """Write the model into the run's `best` folder if its mAP is above that of the model there.

    A run that goes on from a step before the best one meets the same scores again, and leaves it as it is.
    """
    folder = run_dir.best_folder
    best = -1.0
    if (folder / MODEL_FILE).is_file():
        best = load_tensors(folder / MODEL_FILE)[1]["metrics"]["mAP"]
    if metrics.mean_average_precision > best:
        folder.mkdir(parents=True, exist_ok=True)
        _save_model(folder, model, config, clips, metrics, {"seed": seed, "step": step, "epoch": epoch})


def _save_model(
    folder: Path,
    model: Any,
    config: TrainConfig,
    clips: TrainingClips,
    metrics: TaggingMetrics | None,
    place: dict[str, Any],
) -> None:
    info = {
        **place,
        "metrics": None if metrics is None else {**metrics.scores, **metrics.clip_set()},
        "activation": config.loss.activation,
        "eval_id_hash": id_hash(clip.id for clip in clips.eval),
        "config": config.model_dump(mode="json"),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
    }
    save_checkpoint(
        folder / MODEL_FILE,
        model,
        model_config=config.model,
        frontend_config=config.frontend,
        labels=clips.labels,
        info=info,
    )


def restore(
    run_dir: RunDir, model: Any, optimizer: torch.optim.Optimizer, average: WeightAverage | None = None
) -> tuple[int, list[str]]:
    """Take weights, their average and the optimiser's state from the newest whole checkpoint.

    Returns:
        The step to go on from, 0 where there is no checkpoint; and a message for each damaged one passed over.

    Raises:
        CheckpointError: there are checkpoints, and none is whole.
    """
    folder, problems = run_dir.whole_checkpoint()
    if folder is None:
        if problems:
            raise CheckpointError(
                f"no checkpoint of run '{run_dir.path}' is whole: {'; '.join(problems)}; restore one, or delete the "
                "folder to train from the start"
            )
        return 0, []
    tensors, _ = load_tensors(folder / (MODEL_FILE if average is None else LAST_FILE))
    model.load_state_dict(tensors)
    state = load_training_state(folder / STATE_FILE, optimizer)
    if average is not None:
        average.model.load_state_dict(load_tensors(folder / MODEL_FILE)[0])
        average.num_averaged = state["num_averaged"]
    step = int(state["step"])
    return step, [f"{problem}; going on from step {step}" for problem in problems]
