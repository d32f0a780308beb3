"""A tagger as an ONNX file, written by torch's exporter."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch

from audio_dcls.errors import ArgumentError
from audio_dcls.extras import need_package
from audio_dcls.inference.backends.graph_info import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES, GraphInfo
from audio_dcls.inference.export.waveform_graph import WaveformGraph, example_waveforms

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
