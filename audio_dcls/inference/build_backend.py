"""From a checkpoint to the backend that computes it."""

from __future__ import annotations

import typing

import torch

from audio_dcls.choices import BackendName, Precision
from audio_dcls.errors import ArgumentError
from audio_dcls.extras import need_package
from audio_dcls.inference.backends.backend import Backend, check_precision
from audio_dcls.inference.backends.onnx_backend import OnnxBackend
from audio_dcls.inference.backends.openvino_backend import OpenVinoBackend
from audio_dcls.inference.backends.torch_backend import TorchBackend
from audio_dcls.inference.export.graph_card import describe
from audio_dcls.inference.export.onnx_graph import encode_onnx
from audio_dcls.inference.export.openvino_graph import convert_to_openvino
from audio_dcls.inference.export.waveform_graph import WaveformGraph
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint


def build_backend(
    loaded: LoadedCheckpoint,
    backend: BackendName = "torch",
    *,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
) -> Backend:
    """The backend that computes a checkpoint, whose model is changed in place.

    ONNX Runtime and OpenVINO need the frozen model as a graph, which takes some seconds to build; a file written by
    `audio-dcls export` loads without that step (`load_exported`). They compute on the CPU; "bf16" is for PyTorch and
    OpenVINO. An `ArgumentError` says what is unknown, not installed or not available.
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
        if precision != "fp32":
            raise ArgumentError(
                f"`precision` (={precision!r}) must be 'fp32' with `backend` (='onnx'); 'torch' and 'openvino' have "
                "'bf16'"
            )
        need_package("onnxruntime", "onnx")  # before the graph, which takes seconds
        graph = WaveformGraph(loaded.model, loaded.activation)
        return OnnxBackend(encode_onnx(graph, describe(loaded)), name=loaded.path)
    graph = WaveformGraph(loaded.model, loaded.activation, frontend="convolution")
    return OpenVinoBackend(convert_to_openvino(graph, describe(loaded)), precision=precision)
