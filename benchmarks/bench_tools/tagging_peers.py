"""Other taggers with random weights, from waveforms to probabilities, to compare ours with.

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
from audio_dcls.speed.peers import NUM_CLASSES, build_peer, find_authors_library, use_torch_convolutions

TAGGING_PEERS = {
    "authors": "timm's model with the authors' Dcls2d (package dcls), as published: kernels built on every call",
    "frozen": "the authors' model with its kernels built once, by hand, into torch's convolutions",
    "cnn14": "PANNs' Cnn14 (package panns-inference), as published",
}
_CNN14_SIZES = {
    "sample_rate": 32_000, "window_size": 1024, "hop_size": 320, "mel_bins": 64, "fmin": 50, "fmax": 14_000,
}  # fmt: skip
"""The sizes of the published PANNs weights for sounds at 32 kHz."""


class PeerBackend:
    """A peer as a backend of a `Tagger`.

    Args:
        peer: one of `TAGGING_PEERS`.
        model_name: timm's name of the backbone; "cnn14" ignores it.
        precision: "fp32", or "bf16" for everything except the spectrogram.

    Raises:
        ArgumentError: the peer is unknown, or its package is not installed.

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
        """The probabilities of windows, (W, T) -> (W, C), without embeddings."""
        found: Any = self.model(torch.from_numpy(windows))
        scores: Tensor = found["clipwise_output"] if isinstance(found, dict) else torch.sigmoid(found)
        return scores.float().numpy(), None


def _swapped(peer: str, model_name: str, dtype: torch.dtype) -> nn.Module:
    if peer == "authors" and find_authors_library() is None:
        raise ArgumentError("`peer` (='authors') needs the package dcls; install the extra `bench`")
    backbone = build_peer("dcls" if peer == "frozen" else peer, model_name)
    tagger = AudioTagger(build_frontend(FrontendConfig()), backbone).eval()
    if peer == "frozen":
        use_torch_convolutions(prepare_for_inference(tagger))
    backbone.to(dtype)
    return tagger


def _cnn14(dtype: torch.dtype) -> nn.Module:
    model: Any = find_panns_models().Cnn14(**_CNN14_SIZES, classes_num=NUM_CLASSES).eval()
    for name, part in model.named_children():
        if not name.endswith("_extractor"):
            part.to(dtype)
    model.bn0.register_forward_pre_hook(lambda _module, args: (args[0].to(dtype),))
    return model


def find_panns_models() -> ModuleType:
    """The module of PANNs' models, imported without its package, which would download a table.

    Raises:
        ArgumentError: the package is not installed.
    """
    package = "panns_inference"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ArgumentError("`peer` (='cnn14') needs the package panns-inference; install the extra `bench`")
    folder = Path(next(iter(spec.submodule_search_locations)))
    # An empty package with another name, in which the module finds its neighbours.
    alias = f"_{package}_models_only"
    if alias not in sys.modules:
        shell = ModuleType(alias)
        shell.__path__ = [str(folder)]
        sys.modules[alias] = shell
    return importlib.import_module(f"{alias}.models")
