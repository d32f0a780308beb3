"""A tagger in OpenVINO, on the CPU.

Axes: W windows, T samples, C classes, D features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio_dcls.choices import Precision
from audio_dcls.errors import ArgumentError, CheckpointError
from audio_dcls.extras import need_package
from audio_dcls.inference.backends.backend import check_precision
from audio_dcls.inference.backends.graph_info import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES, GraphInfo

_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoBackend:
    """A tagger in OpenVINO, on the CPU, in as many threads as torch has (`torch.set_num_threads`).

    Args:
        source: an .xml file of `audio-dcls export` with its .bin next to it, or an `openvino.Model`.
        precision: "bf16" lets OpenVINO choose bfloat16 for each operator.

    Raises:
        ArgumentError: the extra `openvino` is not installed, or the processor has no bfloat16 instructions.
        CheckpointError: the file is missing, damaged, or was not written by `audio-dcls export`.
    """

    def __init__(self, source: Any, *, precision: Precision = "fp32") -> None:
        check_precision(precision)
        openvino = need_package("openvino", "openvino")
        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ArgumentError(
                "`precision` (='bf16') needs bfloat16 instructions, which this processor does not have; use 'fp32'"
            )
        if isinstance(source, str | Path):
            self.info = read_openvino_info(source)
            source = core.read_model(str(source))
        else:
            self.info = GraphInfo.from_json(_stored(source), "graph")
        self._model = core.compile_model(
            source,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _TYPES[precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}, cpu, {precision}"

    def run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities and embeddings: (W, T) -> (W, C), (W, D)."""
        results = self._model({INPUT_NAME: windows})
        probabilities, embeddings = (np.array(results[name], dtype=np.float32) for name in OUTPUT_NAMES)
        return probabilities, embeddings


def read_openvino_info(path: str | Path) -> GraphInfo:
    """Read the metadata of an exported .xml file; `CheckpointError` if it or its .bin is missing or damaged."""
    path = Path(path)
    openvino = need_package("openvino", "openvino")
    for part in (path, path.with_suffix(".bin")):
        if not part.is_file():
            raise CheckpointError(f"exported file '{part}' does not exist; an .xml and its .bin belong together")
    try:
        model = openvino.Core().read_model(str(path))
    except RuntimeError as error:
        raise CheckpointError(
            f"'{path}' cannot be loaded by OpenVINO {openvino.__version__}; it may be damaged: export it again"
        ) from error
    return GraphInfo.from_json(_stored(model), path)


def _stored(model: Any) -> str | None:
    return model.get_rt_info([METADATA_KEY]).astype(str) if model.has_rt_info([METADATA_KEY]) else None
