"""Events that a training yields while it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from audio_dcls.data import ClipProblem
from audio_dcls.data.loading.spectrogram_stats import SpectrogramStats
from audio_dcls.evaluation.metrics import TaggingMetrics
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import PretrainedReport
from audio_dcls.training.distributed.batch_layout import BatchLayout


@dataclass(frozen=True)
class RunStarted:
    """A run starts, or resumes from a checkpoint."""

    seed: int
    folder: Path
    first_step: int
    num_steps: int
    num_epochs: int
    num_train_clips: int
    num_eval_clips: int
    num_parameters: int
    layout: BatchLayout
    """How the clips of a step are split over processes and passes."""
    pretrained: PretrainedReport | None
    """Origin of the initial weights; None if they are random or the run is resumed."""
    teacher_coverage: float | None = None
    """Share of the training clips for which there are logits of the teacher, 0 to 1; None without distillation."""
    emulates_bf16: bool = False
    """True if bf16 is configured and the device has no instructions for it, so that it is slower than fp32."""


@dataclass(frozen=True)
class NormalisationMismatch:
    """The mean or standard deviation of the config does not fit the training clips; training continues."""

    stats: SpectrogramStats
    """Measured on some training clips."""
    frontend: FrontendConfig
    """Has the mean and standard deviation that the config normalises by."""
    max_shift: float
    """Largest absolute shift without a warning."""
    max_factor: float
    """Largest factor, or its inverse, without a warning."""

    @property
    def shift(self) -> float:
        """Mean of the normalised spectrograms; ideally 0."""
        return (self.stats.mean_db - self.frontend.mean_db) / self.frontend.std_db

    @property
    def factor(self) -> float:
        """Standard deviation of the normalised spectrograms; ideally 1."""
        return self.stats.std_db / self.frontend.std_db

    def __str__(self) -> str:
        stats, frontend = self.stats, self.frontend
        return (
            f"the spectrograms of {stats.num_clips} training clips have a mean of {stats.mean_db:.1f} dB and a "
            f"standard deviation of {stats.std_db:.1f} dB; the config normalises by `frontend.mean_db` "
            f"(={frontend.mean_db:g}) and `frontend.std_db` (={frontend.std_db:g}), so the model sees a mean of "
            f"{self.shift:.2f} and a deviation of {self.factor:.2f}. The limits are ±{self.max_shift:g} and a factor "
            f"of {self.max_factor:g}"
        )


@dataclass(frozen=True)
class StepDone:
    """One optimiser step."""

    step: int
    epoch: float
    """Epochs done, fractional."""
    loss: float
    """Mean loss of the step's clips."""
    rate: float
    """Learning rate of the decayed parameters."""
    gradient_norm: float
    clips_per_s: float
    data_wait_share: float
    """Share of the step's time spent waiting for clips, 0 to 1."""
    num_failed_clips: int
    """Clips left out of this batch because they could not be read."""

    @classmethod
    def skipped(cls, step: int, epoch: float) -> StepDone:
        """A step that was skipped."""
        return cls(step, epoch, math.nan, math.nan, math.nan, math.nan, math.nan, 0)


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
class CheckpointDamaged:
    """A damaged checkpoint was skipped; the run resumes from an older one."""

    message: str


@dataclass(frozen=True)
class StepSkipped:
    """A step was skipped because its loss or gradient was not finite."""

    step: int
    report: Path
    """JSON file that names the clips of the step."""


@dataclass(frozen=True)
class ClipFailed:
    """A training clip could not be read, for the first time in this run; it is left out of its batches."""

    step: int
    problem: ClipProblem


@dataclass(frozen=True)
class RunStopped:
    """A signal stopped the run; everything is saved."""

    seed: int
    step: int
    folder: Path
    signal: str


@dataclass(frozen=True)
class RunFinished:
    """A run reached its last step."""

    seed: int
    folder: Path
    metrics: TaggingMetrics
    num_failed_clips: int = 0
    """Training clips that could not be read, over all processes."""


TrainEvent = (
    RunStarted
    | NormalisationMismatch
    | StepDone
    | StepSkipped
    | ClipFailed
    | Evaluated
    | CheckpointWritten
    | CheckpointDamaged
    | RunStopped
    | RunFinished
)
