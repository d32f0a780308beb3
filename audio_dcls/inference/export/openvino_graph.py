"""A tagger in OpenVINO: converted from torch's exported program, computed on the CPU.

Axis legend: W windows, T samples, C classes, D features.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audio_dcls.errors import ArgumentError, CheckpointError
from audio_dcls.extras import need_package
from audio_dcls.inference.backends import Precision, check_precision
from audio_dcls.inference.export.graph_card import METADATA_KEY, GraphInfo, describe
from audio_dcls.inference.export.waveform_graph import INPUT_NAME, OUTPUT_NAMES, WaveformGraph, export_program

if TYPE_CHECKING:
    from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint

_TYPES = {"fp32": "f32", "bf16": "bf16"}


def convert_to_openvino(graph: WaveformGraph, info: GraphInfo) -> Any:
    """An `openvino.Model` of a tagger, with batch and length free, and what must be known of it in its runtime info.

    Raises:
        ArgumentError: the extra `openvino` is not installed.
    """
    openvino = need_package("openvino", "openvino")
    program = export_program(graph, clip_samples=info.clip_samples, min_samples=info.min_samples)
    with warnings.catch_warnings():
        # Of OpenVINO's use of torch.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(program)
    model.inputs[0].get_tensor().set_names({INPUT_NAME})
    for output, name in zip(model.outputs, OUTPUT_NAMES, strict=True):
        output.get_tensor().set_names({name})
    model.set_rt_info(info.to_json(), [METADATA_KEY])
    return model


class OpenVinoBackend:
    """A tagger in OpenVINO, on the CPU, in as many threads as torch has (`torch.set_num_threads`).

    Args:
        source: an .xml file of `audio-dcls export` with its .bin beside it, or an `openvino.Model`.
        precision: "bf16" lets it compute in bfloat16 where it thinks fit.

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
    """What an exported .xml file says of itself.

    Raises:
        ArgumentError: the extra `openvino` is not installed.
        CheckpointError: the file or its .bin is missing, damaged, or was not written by `audio-dcls export`.
    """
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


def openvino_backend(loaded: LoadedCheckpoint, *, precision: Precision = "fp32") -> OpenVinoBackend:
    """OpenVINO with a checkpoint.

    Raises:
        ArgumentError: the extra `openvino` is not installed, or the processor does not have the precision.
    """
    graph = WaveformGraph(loaded.model, loaded.activation, frontend="convolution")
    return OpenVinoBackend(convert_to_openvino(graph, describe(loaded)), precision=precision)


def _stored(model: Any) -> str | None:
    return model.get_rt_info([METADATA_KEY]).astype(str) if model.has_rt_info([METADATA_KEY]) else None
