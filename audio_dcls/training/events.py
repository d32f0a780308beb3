"""What a running training says to whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audio_dcls.evaluation.metrics import TaggingMetrics
from audio_dcls.models import PretrainedReport


@dataclass(frozen=True)
class RunStarted:
    """A run begins, or goes on from a checkpoint."""

    seed: int
    folder: Path
    first_step: int
    num_steps: int
    num_epochs: int
    num_train_clips: int
    num_eval_clips: int
    num_parameters: int
    pretrained: PretrainedReport | None
    """Where the starting weights came from; None for random ones and for a run that goes on."""


@dataclass(frozen=True)
class StepDone:
    """One optimiser step."""

    step: int
    epoch: float
    """Epochs done, fractional."""
    loss: float
    """Binary cross-entropy of the step's batch."""
    rate: float
    """Learning rate of the decayed parameters."""
    gradient_norm: float
    clips_per_s: float
    num_failed_clips: int
    """Clips left out of this batch because they could not be read."""


@dataclass(frozen=True)
class Evaluated:
    """Scores on the evaluation split."""

    step: int
    epoch: float
    metrics: TaggingMetrics


@dataclass(frozen=True)
class CheckpointWritten:
    """A checkpoint is complete on disk."""

    step: int
    folder: Path


@dataclass(frozen=True)
class RunFinished:
    """A run reached its last step."""

    seed: int
    folder: Path
    metrics: TaggingMetrics


TrainEvent = RunStarted | StepDone | Evaluated | CheckpointWritten | RunFinished
