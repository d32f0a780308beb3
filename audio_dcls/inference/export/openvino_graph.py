"""Write a tagger as an OpenVINO model, converted from torch's exported program."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from audio_dcls.extras import need_package
from audio_dcls.inference.backends.graph_info import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES, GraphInfo
from audio_dcls.inference.backends.openvino_backend import OpenVinoBackend
from audio_dcls.inference.export.export_format import ExportFormat, ExportOptions, WrittenModel
from audio_dcls.inference.export.graph_card import describe, graph_usage
from audio_dcls.inference.export.waveform_graph import WaveformGraph, export_program
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint


def convert_to_openvino(graph: WaveformGraph, info: GraphInfo) -> Any:
    """Convert a tagger to an `openvino.Model`, with batch and length free; its runtime info holds the `GraphInfo`.

    Raises:
        ArgumentError: the extra `openvino` is not installed.
    """
    openvino = need_package("openvino", "openvino")
    program = export_program(graph, clip_samples=info.clip_samples, min_samples=info.min_samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO calls torch in ways that torch warns about
        model = openvino.convert_model(program)
    model.inputs[0].get_tensor().set_names({INPUT_NAME})
    for output, name in zip(model.outputs, OUTPUT_NAMES, strict=True):
        output.get_tensor().set_names({name})
    model.set_rt_info(info.to_json(), [METADATA_KEY])
    return model


def _write(loaded: LoadedCheckpoint, path: Path, _: ExportOptions) -> WrittenModel:
    info = describe(loaded)
    model = convert_to_openvino(WaveformGraph(loaded.model, loaded.activation, frontend="convolution"), info)
    need_package("openvino", "openvino").save_model(model, str(path), compress_to_fp16=False)
    backend = OpenVinoBackend(path)
    return WrittenModel(info, lambda windows: backend.run(windows)[0], backend)


def _usage(info: GraphInfo) -> str:
    return graph_usage(info) + (
        ' Compile it with `{"INFERENCE_PRECISION_HINT": "f32"}`: by default OpenVINO computes in bfloat16 or '
        "float16 if the device has it, and probabilities then differ by 0.1 and more."
    )


# OpenVINO has no Fourier transform in float64. Its results in bands that are almost empty, such as those above half the
# rate of a sound of low rate, are rounding errors.
OPENVINO = ExportFormat("openvino", ".xml", _write, _usage, tolerance=1e-3, can_measure=True)
