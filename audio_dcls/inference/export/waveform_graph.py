"""A tagger as one graph of common operators: waveforms in, probabilities and embeddings out.

Axes: B batch, T samples, K bins some mel band uses, M mels, F frames, C classes, D features.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d
from audio_dcls.frontend.mel import LogMel, normalised_decibels
from audio_dcls.models.activation import Activation, activate
from audio_dcls.models.fusing import prepare_for_inference
from audio_dcls.models.stem import PatchStem
from audio_dcls.models.tagger import AudioTagger, head_outputs

_POOLS = ("avg", "max", "avgmax")


class ConvolutionLogMel(nn.Module):
    """`LogMel` by convolutions, which every runtime computes fast, unlike Fourier transforms: (B, T) -> (B, 1, M, F).

    The transform of a frame is its product with cosines and sines under the window, of the bins a mel band uses, in one
    convolution whose stride is the hop; the mel filters are one of width 1.

    >>> generator = torch.Generator().manual_seed(0)
    >>> from audio_dcls.frontend import build_frontend
    >>> sound, frontend = 0.1 * torch.randn(1, 16000, generator=generator), build_frontend().eval()
    >>> bool((ConvolutionLogMel(frontend)(sound) - frontend(sound)).abs().max() < 1e-4)
    True
    """

    basis: Tensor
    bank: Tensor

    def __init__(self, frontend: LogMel) -> None:
        super().__init__()
        size = frontend.fft_size
        bins = np.arange(frontend.used_bins.start, frontend.used_bins.stop)
        # Whole turns are left out before the product is scaled: a cosine of a large angle would lose digits.
        angles = 2 * math.pi * ((bins[:, None] * np.arange(size)) % size) / size
        window = frontend.window.double().cpu().numpy()
        basis = np.concatenate([np.cos(angles) * window, np.sin(angles) * window])
        self.register_buffer("basis", torch.from_numpy(basis).float()[:, None])
        self.register_buffer("bank", frontend.bank.detach().float().cpu()[:, :, None])
        self.hop_samples = frontend.hop_samples
        self.half_window_samples = size // 2
        self.amin, self.mean_db, self.std_db = frontend.amin, frontend.mean_db, frontend.std_db

    def forward(self, waveforms: Tensor) -> Tensor:
        """Normalised log-mel spectrograms."""
        edge = self.half_window_samples
        padded = F.pad(waveforms[:, None], (edge, edge), mode="reflect")
        cosines, sines = F.conv1d(padded, self.basis, stride=self.hop_samples).chunk(2, dim=1)
        mel = F.conv1d(cosines.square() + sines.square(), self.bank)
        return normalised_decibels(mel, self.amin, self.mean_db, self.std_db)[:, None]


class FourierLogMel(nn.Module):
    """`LogMel` in evaluation mode, (B, T) -> (B, 1, M, F), for a whole batch at once, so that its size stays free.

    >>> from audio_dcls.frontend import build_frontend
    >>> sound = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(FourierLogMel(build_frontend())(sound), build_frontend().eval()(sound))
    True
    """

    window: Tensor

    def __init__(self, frontend: LogMel) -> None:
        super().__init__()
        self.frontend = frontend
        self.register_buffer("window", frontend.exact_window())

    def forward(self, waveforms: Tensor) -> Tensor:
        """Normalised log-mel spectrograms."""
        return self.frontend.windowed_mel(waveforms, self.window)


class WaveformGraph(nn.Module):
    """A copy of a tagger in its inference form, with frontend and activation, for exporters: (B, T) -> (B, C), (B, D).

    The frontend "fft" transforms in float64, as the model does; "convolution", in float32, is for runtimes that have no
    transform in float64.
    """

    def __init__(
        self, model: AudioTagger, activation: Activation, frontend: Literal["fft", "convolution"] = "fft"
    ) -> None:
        super().__init__()
        prepared = prepare_for_inference(copy.deepcopy(model).cpu().float())
        self.frontend = (ConvolutionLogMel if frontend == "convolution" else FourierLogMel)(prepared.frontend)
        self.backbone = _plain(prepared.backbone)
        self.activation: Activation = activation
        self.eval()

    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and embeddings."""
        logits, features = head_outputs(self.backbone, self.frontend(waveforms))
        return activate(logits, self.activation), features


def example_waveforms(clip_samples: int, min_samples: int) -> Tensor:
    """Return two clips to trace a graph with, so long that no map has a length of 1, which would be fixed."""
    return torch.zeros(2, max(clip_samples, 4 * min_samples))


def export_program(graph: WaveformGraph, *, clip_samples: int, min_samples: int) -> torch.export.ExportedProgram:
    """Return a graph as torch's exported program of torch's own operators, with batch and length free."""
    free = {"waveforms": {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}}
    example = example_waveforms(clip_samples, min_samples)
    with torch.no_grad():
        return torch.export.export(graph, (example,), dynamic_shapes=free, strict=False)


class _GlobalPool(nn.Module):
    """Mean, maximum or half their sum over a map, by reductions, as exporters lack adaptive maxima."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, rows, columns) -> (B, D, 1, 1)."""
        if self.kind == "avg":
            return x.mean((2, 3), keepdim=True)
        largest = x.amax((2, 3), keepdim=True)
        return largest if self.kind == "max" else 0.5 * (x.mean((2, 3), keepdim=True) + largest)


def _plain(backbone: nn.Module) -> nn.Module:
    """Torch's own convolutions, contiguous, and pooling that every exporter knows.

    Memory layouts, and which method a convolution takes at which size, are for the runtime to choose; written into a
    graph they would bind it to the lengths it was made at.
    """
    for module in backbone.modules():
        changed: Any = module
        if isinstance(module, PatchStem | DepthwiseConv2d):
            changed.__class__ = nn.Conv2d
        if getattr(module, "pool_type", None) in _POOLS:
            changed.pool = _GlobalPool(changed.pool_type)
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous()
    return backbone
