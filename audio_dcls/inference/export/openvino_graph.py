"""A tagger as an OpenVINO model, converted from torch's exported program."""

from __future__ import annotations

import warnings
from typing import Any

from audio_dcls.extras import need_package
from audio_dcls.inference.backends.graph_info import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES, GraphInfo
from audio_dcls.inference.export.waveform_graph import WaveformGraph, export_program


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
