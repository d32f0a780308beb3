"""Compute the probabilities of windows by PyTorch, ONNX Runtime or OpenVINO, behind one interface."""

from audio_dcls.choices import BackendName, Precision
from audio_dcls.inference.backends.backend import Backend
from audio_dcls.inference.backends.torch_backend import TorchBackend

__all__ = ["Backend", "BackendName", "Precision", "TorchBackend"]
