"""Whole taggers that ours is compared with, from waveforms to probabilities, with random weights.

Axes: W windows, T samples at 32 kHz, C classes, D features.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audio_dcls.errors import ArgumentError
from audio_dcls.frontend import FrontendConfig, build_frontend
from audio_dcls.models import AudioTagger, prepare_for_inference
from audio_dcls.speed.machine import DTYPES
from audio_dcls.speed.peers import NUM_CLASSES, build_peer, find_authors_library, use_torchs_convolutions

TAGGING_PEERS = {
    "authors": "timm's model with the authors' Dcls2d (package dcls), as published: kernels built on every call",
    "frozen": "the same with its kernels built once, by hand, into torch's own convolutions",
    "cnn14": "PANNs' Cnn14 (package panns-inference), as published",
}
CNN14_SIZES = {
    "sample_rate": 32_000, "window_size": 1024, "hop_size": 320, "mel_bins": 64, "fmin": 50, "fmax": 14_000,
}  # fmt: skip
"""Those of the weights that PANNs' authors published for sounds at 32 kHz."""


class PeerBackend:
    """A peer behind the interface by which a `Tagger` computes.

    Args:
        peer: one of `TAGGING_PEERS`.
        model_name: timm's name of the backbone; "cnn14" has none.
        precision: "fp32", or "bf16" for all but the spectrogram.

    Raises:
        ArgumentError: an unknown peer, or its package is not installed.

    >>> PeerBackend("frozen", "convnext_atto").run(np.zeros((1, 64000), dtype=np.float32))[0].shape
    (1, 527)
    """

    def __init__(self, peer: str, model_name: str, precision: str = "fp32") -> None:
        if peer not in TAGGING_PEERS:
            raise ArgumentError(f"`peer` (={peer!r}) must be one of {', '.join(TAGGING_PEERS)}")
        self.name = f"{peer} {precision}"
        dtype = DTYPES[precision]
        self.model = _cnn14(dtype) if peer == "cnn14" else _swapped(peer, model_name, dtype)

    @torch.inference_mode()
    def run(self, windows: np.ndarray) -> tuple[np.ndarray, None]:
        """Probabilities of windows, and no embeddings: (W, T) -> (W, C)."""
        found: Any = self.model(torch.from_numpy(windows))
        scores: Tensor = found["clipwise_output"] if isinstance(found, dict) else torch.sigmoid(found)
        return scores.float().numpy(), None


def _swapped(peer: str, model_name: str, dtype: torch.dtype) -> nn.Module:
    if peer == "authors" and find_authors_library() is None:
        raise ArgumentError("`peer` (='authors') needs the package dcls; install the extra `bench`")
    backbone = build_peer("dcls" if peer == "frozen" else peer, model_name)
    tagger = AudioTagger(build_frontend(FrontendConfig()), backbone).eval()
    if peer == "frozen":
        use_torchs_convolutions(prepare_for_inference(tagger))
    backbone.to(dtype)
    return tagger


def _cnn14(dtype: torch.dtype) -> nn.Module:
    model: Any = find_panns_models().Cnn14(**CNN14_SIZES, classes_num=NUM_CLASSES).eval()
    for name, part in model.named_children():
        if not name.endswith("_extractor"):
            part.to(dtype)
    model.bn0.register_forward_pre_hook(lambda _module, args: (args[0].to(dtype),))
    return model


def find_panns_models() -> ModuleType:
    """The module of PANNs' models, without their package, which downloads a table when it is imported.

    Raises:
        ArgumentError: it is not installed.
    """
    package = "panns_inference"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ArgumentError("`peer` (='cnn14') needs the package panns-inference; install the extra `bench`")
    folder = Path(next(iter(spec.submodule_search_locations)))
    # An empty package of another name, by which the module finds the ones beside it.
    alias = f"_{package}_models_only"
    if alias not in sys.modules:
        shell = ModuleType(alias)
        shell.__path__ = [str(folder)]
        sys.modules[alias] = shell
    return importlib.import_module(f"{alias}.models")
