"""A tagger in ONNX Runtime.

Axes: W windows, T samples, C classes, D features.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from audio_dcls.errors import CheckpointError
from audio_dcls.extras import need_package
from audio_dcls.files import path_remedy
from audio_dcls.inference.backends.graph_info import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES, GraphInfo


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
            raise CheckpointError(f"exported file '{path}' does not exist; {path_remedy(path)}")
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
