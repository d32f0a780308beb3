"""When a run writes checkpoints, what they contain, and how a run resumes from its newest intact one."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from audio_dcls.data.table.clip_set import id_hash
from audio_dcls.errors import CheckpointError, RunError
from audio_dcls.evaluation.metrics import TaggingMetrics
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint
from audio_dcls.models.checkpoint.folders import LAST_FILE, MODEL_FILE, STATE_FILE
from audio_dcls.models.checkpoint.tensor_file import load_tensors, save_tensors
from audio_dcls.runs.config import LoopConfig, TrainConfig
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.training_clips import TrainingClips
from audio_dcls.training.learning.averaging import WeightAverage
from audio_dcls.training.training_state import load_training_state, save_training_state

PACKAGES = ("audio-dcls", "torch", "timm", "numpy", "soundfile", "soxr", "lightning-fabric")


class CheckpointClock:
    """Decides after which steps of a run a checkpoint is due: at the config's intervals, and after the last step."""

    def __init__(self, loop: LoopConfig, steps_per_epoch: int, num_steps: int) -> None:
        self.loop, self.steps_per_epoch, self.num_steps = loop, steps_per_epoch, num_steps
        self.written_s = time.monotonic()

    def is_due(self, num_done: int) -> bool:
        """Whether a checkpoint is due after `num_done` steps of the run; processes may differ in the minutes."""
        epoch, remainder = divmod(num_done, self.steps_per_epoch)
        steps, minutes = self.loop.checkpoint_every_steps, self.loop.checkpoint_every_minutes
        return (
            num_done == self.num_steps
            or (remainder == 0 and epoch % self.loop.checkpoint_every_epochs == 0)
            or (steps is not None and num_done % steps == 0)
            or (minutes is not None and time.monotonic() - self.written_s >= 60 * minutes)
        )

    def restart(self) -> None:
        """Count the minutes from now; a checkpoint has just been written."""
        self.written_s = time.monotonic()


@dataclass(frozen=True)
class CheckpointWriter:
    """Writes the checkpoints of one run, with its config, seed, classes and the hash of the evaluation clips."""

    run_dir: RunDir
    config: TrainConfig
    clips: TrainingClips
    seed: int

    def write(
        self,
        model: Any,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
        *,
        step: int,
        epoch: float,
        metrics: TaggingMetrics | None,
    ) -> Path:
        """Write weights and everything needed to resume from `step`; the previous checkpoint stays until then.

        With an average, the average is the checkpoint's model, and the last weights are in a file of their own. Raises
        `RunError` if the disk is full or the folder cannot be written; the previous checkpoint stays the newest.
        """
        run_dir = self.run_dir
        try:
            folder = run_dir.begin_checkpoint(step)
            self._save_model(folder, model if average is None else average.model, step, epoch, metrics)
            if average is not None:
                save_tensors(folder / LAST_FILE, model.state_dict(), {"kind": "last_weights", "step": step})
            numbers = {"step": step, "seed": self.seed, "num_averaged": average.num_averaged if average else 0}
            save_training_state(folder / STATE_FILE, optimizer, numbers)
            return run_dir.finish_checkpoint(folder, keep=self.config.loop.keep_checkpoints)
        except OSError as error:
            run_dir.drop_unfinished()
            kept = run_dir.checkpoints()
            last = f"the newest intact one is '{kept[-1]}'" if kept else "there is no earlier one"
            raise RunError(
                f"the checkpoint of step {step} cannot be written to '{run_dir.path}' ({error.strerror or error}); "
                f"{last}: free some space, and continue with --resume"
            ) from error

    def write_best(self, model: Any, *, step: int, epoch: float, metrics: TaggingMetrics) -> None:
        """Write the model into the run's `best` folder if its mAP is above that of the model there.

        A run that resumes from a step before the best one computes the same scores again, and leaves it as it is.
        """
        folder = self.run_dir.best_folder
        best = -1.0
        if (folder / MODEL_FILE).is_file():
            best = load_tensors(folder / MODEL_FILE)[1]["metrics"]["mAP"]
        if metrics.mean_average_precision > best:
            folder.mkdir(parents=True, exist_ok=True)
            self._save_model(folder, model, step, epoch, metrics)

    def _save_model(self, folder: Path, model: Any, step: int, epoch: float, metrics: TaggingMetrics | None) -> None:
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        info = {
            "seed": self.seed,
            "step": step,
            "epoch": epoch,
            "metrics": None if metrics is None else {**metrics.scores, **metrics.clip_set()},
            "activation": self.config.loss.activation,
            "eval_id_hash": id_hash(clip.id for clip in self.clips.eval),
            "config": self.config.model_dump(mode="json"),
            "versions": versions | {"python": platform.python_version()},
        }
        save_checkpoint(
            folder / MODEL_FILE,
            model,
            model_config=self.config.model,
            frontend_config=self.config.frontend,
            labels=self.clips.labels,
            info=info,
        )


def restore(
    run_dir: RunDir, model: Any, optimizer: torch.optim.Optimizer, average: WeightAverage | None = None
) -> tuple[int, list[str]]:
    """Load weights, their average and the optimiser's state from the newest intact checkpoint.

    Return the step to resume from, 0 if there is no checkpoint, and a message for each damaged one passed over. Raises
    `CheckpointError` if every checkpoint is damaged.
    """
    folder, problems = run_dir.intact_checkpoint(is_averaged=average is not None)
    if folder is None:
        if problems:
            raise CheckpointError(
                f"no checkpoint of run '{run_dir.path}' is intact: {'; '.join(problems)}; restore one from a backup, "
                "or delete the folder to train from the start"
            )
        return 0, []
    tensors, _ = load_tensors(folder / (MODEL_FILE if average is None else LAST_FILE))
    model.load_state_dict(tensors)
    state = load_training_state(folder / STATE_FILE, optimizer)
    if average is not None:
        average.model.load_state_dict(load_tensors(folder / MODEL_FILE)[0])
        average.num_averaged = state["num_averaged"]
    step = int(state["step"])
    return step, [f"{problem}; resuming from step {step}" for problem in problems]
