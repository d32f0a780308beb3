"""Train on a teacher's logits in addition to the labels.

Axis legend: B clips, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_dcls.data.augment.mixup import mix
from audio_dcls.data.loading.teacher_logits import TeacherLogits, load_teacher
from audio_dcls.models.activation import Activation, activate
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.training_clips import TrainingClips
from audio_dcls.training.learning.losses import Loss


@dataclass(frozen=True, eq=False)
class Distillation:
    """(1 − w) · label loss + w · T² · the divergence of the student's probabilities from the teacher's, both at
    temperature T (Hinton et al., 2015, arXiv 1503.02531).

    With a sigmoid the divergence is the binary cross-entropy, mean over classes; with a softmax it is the
    Kullback-Leibler divergence. In a mixture of clips the teacher's probabilities are mixed with the same λ. A clip
    that the teacher does not know trains on its labels alone; in a mixture with such a clip, the teacher counts by the
    share of the known clip.
    """

    teacher: TeacherLogits
    weight: float
    """w, 0 to 1."""
    temperature: float
    """T, above 0."""
    activation: Activation
    """Activation of the student."""
    loss: Loss
    """Loss of the labels."""

    def __call__(self, logits: Tensor, targets: Tensor, indices: Tensor, lam: float, partners: Tensor) -> Tensor:
        """Mean loss of a batch, a scalar.

        The student's logits (B, C) are those of the mixtures, and the targets (B, C) are smoothed and mixed. The
        indices (B,) of the clips in the training set are on the CPU. λ is 1 without mixup; `partners` (B,) has the
        place in the batch of the clip that each clip is mixed with.
        """
        found, known = self.teacher.lookup(indices)
        found, known = found.to(logits.device), known.to(logits.device)
        soft = activate(found / self.temperature, self.activation) * known[:, None]
        soft, shares = mix(soft, lam, partners), mix(known.float(), lam, partners)
        divergence = self._divergence(logits / self.temperature, soft, shares) * self.temperature**2
        label = self.loss(logits, targets, per_clip=True)
        return ((1.0 - self.weight * shares) * label + self.weight * divergence).mean()

    def _divergence(self, logits: Tensor, soft: Tensor, shares: Tensor) -> Tensor:
        """Divergence of each clip times its share: (B, C), (B, C) summed over known clips only, (B,) to (B,)."""
        if self.activation == "softmax":
            entropy = (torch.xlogy(soft, soft) - torch.xlogy(soft, shares[:, None])).sum(1)
            return entropy - (soft * F.log_softmax(logits, 1)).sum(1)
        return -(soft * F.logsigmoid(logits) + (shares[:, None] - soft) * F.logsigmoid(-logits)).mean(1)


def build_distillation(config: TrainConfig, clips: TrainingClips, loss: Loss) -> Distillation | None:
    """The distillation that a config names; None without one. Raises `ConfigError` if the teacher's file cannot be
    used.
    """
    settings = config.distillation
    if settings is None:
        return None
    teacher = load_teacher(settings.file, clips.train.ids.to_list(), len(clips.labels))
    return Distillation(teacher, settings.weight, settings.temperature, config.loss.activation, loss)
