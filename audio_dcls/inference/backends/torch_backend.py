"""A tagger in PyTorch.

Axes: W windows, T samples, C classes, D features.
"""

from __future__ import annotations

import numpy as np
import torch

from audio_dcls.choices import Precision
from audio_dcls.errors import ArgumentError
from audio_dcls.inference.backends.backend import check_precision
from audio_dcls.models.activation import Activation, activate
from audio_dcls.models.device import find_device, has_bf16
from audio_dcls.models.fusing import prepare_for_inference
from audio_dcls.models.stem import to_channels_last
from audio_dcls.models.tagger import AudioTagger, head_outputs


class TorchBackend:
    """A tagger in PyTorch, in its inference form: kernels frozen, batch norms folded, channels_last.

    Args:
        model: the tagger; changed in place (`prepare_for_inference`).
        activation: turns its logits into probabilities.
        device: where to compute.
        precision: "bf16" computes the backbone in bfloat16; the spectrogram and the probabilities stay float32.

    Raises:
        ArgumentError: the device is not available, or it has no bfloat16 instructions.

    >>> from audio_dcls.frontend import FrontendConfig
    >>> from audio_dcls.models import ModelConfig, build_tagger
    >>> small = ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1]})
    >>> backend = TorchBackend(build_tagger(small, FrontendConfig(), num_classes=5), "sigmoid")
    >>> scores, embeddings = backend.run(np.zeros((2, 64000), dtype=np.float32))
    >>> scores.shape, embeddings.shape
    ((2, 5), (2, 320))
    """

    def __init__(
        self,
        model: AudioTagger,
        activation: Activation,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        check_precision(precision)
        self.device = find_device(device)
        if precision == "bf16" and not has_bf16(self.device):
            owner = "this processor" if self.device.type == "cpu" else f"'{self.device}'"
            raise ArgumentError(
                f"`precision` (='bf16') needs bfloat16 instructions, which {owner} does not have; use 'fp32'"
            )
        self.name = f"torch, {self.device}, {precision}"
        self.activation: Activation = activation
        self.model = prepare_for_inference(model).to(self.device)
        if precision == "bf16":
            self.model.backbone.to(torch.bfloat16)
            to_channels_last(self.model.backbone)

    @torch.inference_mode()
    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Compute probabilities and embeddings: (W, T) -> (W, C), (W, D)."""
        spectrograms = self.model.spectrogram(torch.from_numpy(windows).to(self.device))
        logits, features = head_outputs(self.model.backbone, spectrograms)
        return activate(logits, self.activation).cpu().numpy(), features.float().cpu().numpy()
