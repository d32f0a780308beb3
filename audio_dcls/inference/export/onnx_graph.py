"""Write a tagger as an ONNX file, by torch's exporter."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import torch

from audio_dcls.errors import ArgumentError
from audio_dcls.extras import need_package
from audio_dcls.files import write_atomically
from audio_dcls.inference.backends.graph_info import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES, GraphInfo
from audio_dcls.inference.backends.onnx_backend import OnnxBackend
from audio_dcls.inference.export.export_format import ExportFormat, ExportOptions, WrittenModel
from audio_dcls.inference.export.graph_card import describe, graph_usage
from audio_dcls.inference.export.quantise import quantise_onnx, use_products
from audio_dcls.inference.export.waveform_graph import WaveformGraph, example_waveforms
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint

OPSET = 23
"""The newest that torch's exporter writes (ONNX 1.18)."""
MIN_OPSET = 18


def encode_onnx(graph: WaveformGraph, info: GraphInfo, *, opset: int = OPSET) -> bytes:
    """Encode a tagger as an ONNX file, with batch and length free, and `info` in its metadata.

    `opset` is the version of the operators, 18 to 23; older runtimes need older ones. `ArgumentError` if it is out of
    range, or the extra `onnx` is not installed.
    """
    if not MIN_OPSET <= opset <= OPSET:
        raise ArgumentError(f"`opset` (={opset}) must be from {MIN_OPSET} to {OPSET}")
    need_package("onnx", "onnx")
    need_package("onnxscript", "onnx")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch warns about its own calls
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


def _write(loaded: LoadedCheckpoint, path: Path, options: ExportOptions) -> WrittenModel:
    info = describe(loaded)
    graph = WaveformGraph(loaded.model, loaded.activation)
    content = encode_onnx(use_products(graph) if options.int8 else graph, info, opset=options.opset)
    write_atomically(path, quantise_onnx(content) if options.int8 else content)
    backend = OnnxBackend(path)
    return WrittenModel(info, lambda windows: backend.run(windows)[0], backend)


ONNX = ExportFormat("onnx", ".onnx", _write, graph_usage, takes_int8=True, takes_opset=True, can_measure=True)
