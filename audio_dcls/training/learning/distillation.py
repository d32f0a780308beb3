"""Learning from a teacher's logits beside the labels.

Axis legend: B clips, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from audio_dcls.data.augment import mix
from audio_dcls.data.loading.teacher_logits import TeacherLogits, load_teacher
from audio_dcls.models.activation import Activation, activate
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.usable_clips import TrainingClips
from audio_dcls.training.learning.losses import Loss


class Distillation:
    """(1 − w) · label loss + w · T² · the divergence of the student's probabilities from the teacher's, both at
    temperature T (Hinton et al., 2015, arXiv 1503.02531).

    For sigmoids the divergence is binary cross-entropy, mean over classes; for a softmax Kullback and Leibler's. Of a
    mixture of clips the teacher's probabilities are mixed by the same λ. A clip the teacher does not know learns from
    its labels alone; a mixture with one, from the teacher by the known clip's share.

    Args:
        teacher: logits by clip.
        weight: w, 0 to 1.
        temperature: T, above 0.
        activation: the student's.
        loss: of the labels, with `per_clip`.
    """

    def __init__(
        self, teacher: TeacherLogits, *, weight: float, temperature: float, activation: Activation, loss: Loss
    ) -> None:
        self.teacher, self.weight, self.temperature, self.loss = teacher, weight, temperature, loss
        self.activation: Activation = activation

    def __call__(self, logits: Tensor, targets: Tensor, indices: Tensor, lam: float, partners: Tensor) -> Tensor:
        """Mean loss of a batch.

        Args:
            logits: (B, C), the student's, of the mixtures.
            targets: (B, C), smoothed and mixed.
            indices: (B,), places of the clips in the training set, on the CPU.
            lam: λ of the mixtures, 1 for none.
            partners: (B,), places in the batch of what each clip is mixed with.

        Shape:
            to a scalar.
        """
        found, known = self.teacher.lookup(indices)
        found, known = found.to(logits.device), known.to(logits.device)
        soft = activate(found / self.temperature, self.activation) * known[:, None]
        soft, shares = mix(soft, lam, partners), mix(known.float(), lam, partners)
        divergence = self._divergence(logits / self.temperature, soft, shares) * self.temperature**2
        label = self.loss(logits, targets, per_clip=True)
        return ((1.0 - self.weight * shares) * label + self.weight * divergence).mean()

    def _divergence(self, logits: Tensor, soft: Tensor, shares: Tensor) -> Tensor:
        """Of each clip, times its share: (B, C), (B, C) with rows summing over known clips alone, (B,) to (B,)."""
        if self.activation == "softmax":
            entropy = (torch.xlogy(soft, soft) - torch.xlogy(soft, shares[:, None])).sum(1)
            return entropy - (soft * F.log_softmax(logits, 1)).sum(1)
        return -(soft * F.logsigmoid(logits) + (shares[:, None] - soft) * F.logsigmoid(-logits)).mean(1)


def build_distillation(config: TrainConfig, clips: TrainingClips, loss: Loss) -> Distillation | None:
    """What `distillation` of a config asks for; None for nothing.

    Raises:
        ConfigError: the teacher's file cannot be used.
    """
    asked = config.distillation
    if asked is None:
        return None
    teacher = load_teacher(asked.file, clips.train.ids.to_list(), len(clips.labels))
    numbers = {"weight": asked.weight, "temperature": asked.temperature}
    return Distillation(teacher, **numbers, activation=config.loss.activation, loss=loss)
