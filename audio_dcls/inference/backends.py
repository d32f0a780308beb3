"""What computes a tagger: PyTorch, ONNX Runtime or OpenVINO, behind one interface.

Axis legend: W windows, T samples, C classes, D features.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from audio_dcls.errors import ArgumentError
from audio_dcls.models.activation import Activation, activate
from audio_dcls.models.fusing import prepare_for_inference
from audio_dcls.models.stem import to_channels_last

if TYPE_CHECKING:
    from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint
    from audio_dcls.models.tagger import AudioTagger

BackendName = Literal["torch", "onnx", "openvino"]
Precision = Literal["fp32", "bf16"]
_BF16_OF_X86 = ("avx512_bf16", "avx10_2", "amx_tile", "amx_bf16")
_BF16_OF_ARM = ("arm_bf16", "bf16")


class Backend(Protocol):
    """Runs a tagger on windows."""

    name: str
    """For people: what computes, and in which precision."""

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities and embeddings of windows.

        Args:
            windows: float32 at the model's rate.

        Shape:
            (W, T) -> (W, C) and (W, D), both float32; None for embeddings the backend does not have.
        """
        ...


class TorchBackend:
    """A tagger in PyTorch, in its inference form: kernels frozen, batch norms folded, channels_last.

    Args:
        model: the tagger; changed in place (`prepare_for_inference`).
        activation: turns its logits into probabilities.
        device: where to compute.
        precision: "bf16" computes the backbone in bfloat16; the spectrogram and the probabilities stay float32.

    Raises:
        ArgumentError: the device cannot be had, or it has no bfloat16 instructions.

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
            raise ArgumentError(
                f"`precision` (='bf16') needs bfloat16 instructions, which {_device_in_words(self.device)} does not "
                "have; use 'fp32'"
            )
        self.name = f"torch, {self.device}, {precision}"
        self.activation: Activation = activation
        self.model = prepare_for_inference(model).to(self.device)
        if precision == "bf16":
            self.model.backbone.to(torch.bfloat16)
            to_channels_last(self.model.backbone)

    @torch.inference_mode()
    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities and embeddings: (W, T) -> (W, C), (W, D)."""
        logits, features = logits_and_features(self.model, torch.from_numpy(windows).to(self.device))
        return activate(logits, self.activation).cpu().numpy(), features.float().cpu().numpy()


def logits_and_features(model: AudioTagger, waveforms: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the pooled features they are made of, in one pass.

    Shape:
        (W, T) -> (W, C), (W, D).
    """
    return head_outputs(model.backbone, model.spectrogram(waveforms))


def head_outputs(backbone: nn.Module, spectrograms: Tensor) -> tuple[Tensor, Tensor]:
    """The same from normalised spectrograms: (W, 1, mels, frames) -> (W, C), (W, D)."""
    timms: Any = backbone
    features = timms.forward_head(timms.forward_features(spectrograms), pre_logits=True)
    return timms.get_classifier()(features), features


def build_backend(
    loaded: LoadedCheckpoint,
    backend: BackendName = "torch",
    *,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
) -> Backend:
    """A backend for a checkpoint.

    ONNX Runtime and OpenVINO are given the frozen model as a graph, which takes some seconds to make; a file of
    `audio-dcls export` loads without that (`load_exported`).

    Args:
        loaded: the checkpoint; its model is changed in place.
        backend: what computes.
        device: of PyTorch; the others compute on the CPU.
        precision: "fp32", or "bf16" for PyTorch and OpenVINO.

    Raises:
        ArgumentError: an unknown name, a package that is not installed, or a device or precision it does not have.
    """
    if backend not in typing.get_args(BackendName):
        raise ArgumentError(f"`backend` (={backend!r}) must be one of {', '.join(typing.get_args(BackendName))}")
    if backend == "torch":
        return TorchBackend(loaded.model, loaded.activation, device=device, precision=precision)
    check_precision(precision)
    if torch.device(device).type != "cpu":
        raise ArgumentError(
            f"`device` (={str(device)!r}) must be 'cpu' with `backend` (={backend!r}); others need the backend 'torch'"
        )
    if backend == "onnx":
        from audio_dcls.inference.export.onnx_graph import onnx_backend

        return onnx_backend(loaded, precision=precision)
    from audio_dcls.inference.export.openvino_graph import openvino_backend

    return openvino_backend(loaded, precision=precision)


def is_exported(path: str | Path) -> bool:
    """Whether a name is that of a graph of `audio-dcls export` that has a backend."""
    return Path(path).suffix in (".onnx", ".xml")


def check_precision(precision: str) -> None:
    """Refuse a precision that is not known.

    Raises:
        ArgumentError: it is not "fp32" or "bf16".
    """
    if precision not in typing.get_args(Precision):
        raise ArgumentError(f"`precision` (={precision!r}) must be 'fp32' or 'bf16'")


def find_device(device: torch.device | str) -> torch.device:
    """The device of a name.

    Raises:
        ArgumentError: the name means nothing, or the machine has no such device.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        detail = str(error).splitlines()[0] if str(error) else "no such device"
        raise ArgumentError(
            f"`device` (={str(device)!r}) cannot be used: {detail}; use 'cpu', or 'cuda' where there is a GPU"
        ) from error
    return found


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 by instructions of its own, and so gains by it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    return any(cpu_capabilities().get(name, False) for name in (*_BF16_OF_X86, *_BF16_OF_ARM))


def cpu_capabilities() -> Mapping[str, Any]:
    """Names of the processor's instruction sets, as torch finds them."""
    find = getattr(torch.cpu, "get_capabilities", None)
    if find is not None:
        return find()
    return {"avx512_bf16": torch.cpu._is_avx512_bf16_supported()}  # before torch 2.10


def _device_in_words(device: torch.device) -> str:
    return "this processor" if device.type == "cpu" else f"'{device}'"
