"""A backbone that does not train for the first steps of a run."""

from __future__ import annotations

from torch import nn

from audio_dcls.errors import ModelError
from audio_dcls.models import AudioTagger, PretrainedReport
from audio_dcls.models.pretrained.class_rows import CLASSIFIER
from audio_dcls.runs.config import OptimizerConfig


class BackboneFreeze:
    """Holds everything but the classifier still, batch norms' statistics included, for so many steps.

    What is held follows from the step alone, so a resumed run goes on as an uninterrupted one would.

    Args:
        model: the tagger.
        num_steps: steps of the run during which the backbone is held.
        saves_work: whether gradients of held parameters need not be computed; with several processes they must be, as
            the processes wait for each other's.
    """

    def __init__(self, model: AudioTagger, num_steps: float, *, saves_work: bool) -> None:
        self.num_steps, self.saves_work = num_steps, saves_work
        backbone = model.backbone
        self.held = [p for name, p in backbone.named_parameters() if not name.startswith(f"{CLASSIFIER}.")]
        self.norms = [module for module in backbone.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def apply(self, step: int) -> None:
        """Hold the backbone in this step, or let it go; call it before the step's first forward pass."""
        trains = step >= self.num_steps
        for norm in self.norms:
            norm.train(trains)
        if self.saves_work:
            for parameter in self.held:
                parameter.requires_grad_(trains)

    def drop_gradients(self, step: int) -> None:
        """Forget the gradients of held parameters: an optimiser leaves a parameter without one as it is."""
        if step < self.num_steps:
            for parameter in self.held:
                parameter.grad = None


def build_freeze(
    model: AudioTagger, config: OptimizerConfig, *, steps_per_epoch: int, num_processes: int
) -> BackboneFreeze | None:
    """What `optimizer.freeze_backbone_epochs` asks for; None for nothing."""
    epochs = config.freeze_backbone_epochs
    if epochs is None:
        return None
    num_steps = float("inf") if epochs == "always" else epochs * steps_per_epoch
    return BackboneFreeze(model, num_steps, saves_work=num_processes == 1)


def check_freezable(report: PretrainedReport) -> None:
    """Make sure that freezing would hold nothing at its random start.

    Raises:
        ModelError: it would.
    """
    random = [name for name in report.random if not name.startswith(f"{CLASSIFIER}.")]
    if random:
        raise ModelError(
            f"`optimizer.freeze_backbone_epochs` would hold {len(random)} entries at their random start, such as "
            f"'{random[0]}', which '{report.source}' has no weights of; give a checkpoint of this program with the "
            "same `model.dcls` as model.pretrained_file, or leave freeze_backbone_epochs out"
        )
