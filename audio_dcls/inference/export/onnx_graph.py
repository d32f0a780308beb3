"""A tagger in ONNX: written by torch's exporter, computed by ONNX Runtime.

Axis legend: W windows, T samples, C classes, D features.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audio_dcls.errors import ArgumentError, CheckpointError
from audio_dcls.extras import need_package
from audio_dcls.inference.backends import Precision
from audio_dcls.inference.export.graph_card import METADATA_KEY, GraphInfo, describe
from audio_dcls.inference.export.waveform_graph import INPUT_NAME, OUTPUT_NAMES, WaveformGraph, example_waveforms

if TYPE_CHECKING:
    from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint

OPSET = 23
"""Newest that torch's exporter writes (ONNX 1.18)."""
MIN_OPSET = 18


def encode_onnx(graph: WaveformGraph, info: GraphInfo, *, opset: int = OPSET) -> bytes:
    """An ONNX file of a tagger, with batch and length free.

    Args:
        graph: the tagger.
        info: stored in its metadata.
        opset: version of the operators, 18 to 23; older runtimes need older ones.

    Raises:
        ArgumentError: the opset is out of range, or the extra `onnx` is not installed.
    """
    if not MIN_OPSET <= opset <= OPSET:
        raise ArgumentError(f"`opset` (={opset}) must be from {MIN_OPSET} to {OPSET}")
    need_package("onnx", "onnx")
    need_package("onnxscript", "onnx")
    with warnings.catch_warnings(), torch.no_grad():
        # Of torch's own use of itself.
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            graph,
            (example_waveforms(info.clip_samples, info.min_samples),),
            dynamo=True,
            opset_version=opset,
            input_names=[INPUT_NAME],
            output_names=list(OUTPUT_NAMES),
            dynamic_shapes={"waveforms": {0: "batch", 1: "samples"}},
            verbose=False,
        )
    program.model.metadata_props[METADATA_KEY] = info.to_json()
    program.model.producer_name = "audio_dcls"
    content = io.BytesIO()
    program.save(content)
    return content.getvalue()


class OnnxBackend:
    """An ONNX file of `audio-dcls export` in ONNX Runtime, on the CPU.

    It computes in as many threads as torch does (`torch.set_num_threads`).

    Args:
        source: the file, or its bytes.
        name: where bytes come from, for messages.

    Raises:
        ArgumentError: the extra `onnx` is not installed.
        CheckpointError: the file is missing, damaged, or was not written by `audio-dcls export`.
    """

    def __init__(self, source: str | Path | bytes, *, name: str | Path = "graph") -> None:
        runtime = need_package("onnxruntime", "onnx")
        path = name if isinstance(source, bytes) else Path(source)
        if isinstance(path, Path) and not isinstance(source, bytes) and not path.is_file():
            raise CheckpointError(f"exported file '{path}' does not exist; check the path")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        errors = runtime.capi.onnxruntime_pybind11_state
        refusals = (errors.Fail, errors.InvalidProtobuf, errors.InvalidGraph, errors.NoModel, errors.NotImplemented)
        try:
            self._session = runtime.InferenceSession(
                source if isinstance(source, bytes) else str(path), options, providers=["CPUExecutionProvider"]
            )
        except refusals as error:
            detail = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"'{path}' cannot be loaded by ONNX Runtime {runtime.__version__}: {detail}; export it again, or with "
                "an older --opset where this runtime is old"
            ) from error
        self.info = GraphInfo.from_json(self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), path)
        self.name = f"ONNX Runtime {runtime.__version__}, cpu"

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities and embeddings: (W, T) -> (W, C), (W, D)."""
        probabilities, embeddings = self._session.run(list(OUTPUT_NAMES), {INPUT_NAME: windows})
        return probabilities, embeddings


def onnx_backend(loaded: LoadedCheckpoint, *, precision: Precision = "fp32") -> OnnxBackend:
    """ONNX Runtime with a checkpoint.

    Raises:
        ArgumentError: the extra `onnx` is not installed, or the precision is not "fp32".
    """
    if precision != "fp32":
        raise ArgumentError(
            f"`precision` (={precision!r}) must be 'fp32' with `backend` (='onnx'); 'torch' and 'openvino' have 'bf16'"
        )
    need_package("onnxruntime", "onnx")
    graph = WaveformGraph(loaded.model, loaded.activation)
    return OnnxBackend(encode_onnx(graph, describe(loaded)), name=loaded.path)
