"""Freeze the backbone for the first steps of a run."""

from __future__ import annotations

from torch import nn

from audio_dcls.errors import ModelError
from audio_dcls.models import AudioTagger, PretrainedReport
from audio_dcls.models.families import CLASSIFIER
from audio_dcls.runs.config import OptimizerConfig


class BackboneFreeze:
    """Freezes everything except the classifier, including the statistics of batch norms, for a number of steps.

    The frozen parameters depend only on the step, so a resumed run equals an uninterrupted one. `saves_work` skips the
    gradients of frozen parameters; with several processes they must be computed, because the processes wait for each
    other's gradients.
    """

    def __init__(self, model: AudioTagger, num_steps: float, *, saves_work: bool) -> None:
        self.num_steps, self.saves_work = num_steps, saves_work
        backbone = model.backbone
        self.frozen = [p for name, p in backbone.named_parameters() if not name.startswith(f"{CLASSIFIER}.")]
        self.norms = [module for module in backbone.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def apply(self, step: int) -> None:
        """Freeze or unfreeze the backbone for a step; call it before the step's first forward pass."""
        trains = step >= self.num_steps
        for norm in self.norms:
            norm.train(trains)
        if self.saves_work:
            for parameter in self.frozen:
                parameter.requires_grad_(trains)

    def drop_gradients(self, step: int) -> None:
        """Drop the gradients of frozen parameters: an optimiser does not change a parameter without a gradient."""
        if step < self.num_steps:
            for parameter in self.frozen:
                parameter.grad = None


def build_freeze(
    model: AudioTagger, config: OptimizerConfig, steps_per_epoch: int, *, num_processes: int
) -> BackboneFreeze | None:
    """The freezing that `optimizer.freeze_backbone_epochs` configures; None without it."""
    epochs = config.freeze_backbone_epochs
    if epochs is None:
        return None
    num_steps = float("inf") if epochs == "always" else epochs * steps_per_epoch
    return BackboneFreeze(model, num_steps, saves_work=num_processes == 1)


def check_freezable(report: PretrainedReport) -> None:
    """Check that all frozen parameters were loaded. Raises `ModelError` if some would stay at their random initial
    values.
    """
    random = [name for name in report.random if not name.startswith(f"{CLASSIFIER}.")]
    if random:
        raise ModelError(
            f"`optimizer.freeze_backbone_epochs` would keep {len(random)} entries at random initial values, such as "
            f"'{random[0]}', for which '{report.source}' has no weights; give a checkpoint of this program with the "
            "same `model.dcls` as model.pretrained_file, or leave freeze_backbone_epochs out"
        )
