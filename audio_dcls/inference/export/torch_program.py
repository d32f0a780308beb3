"""Write a tagger as torch's exported program, which needs nothing but torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio_dcls.inference.backends.graph_info import METADATA_KEY
from audio_dcls.inference.export.export_format import ExportFormat, ExportOptions, WrittenModel
from audio_dcls.inference.export.graph_card import describe, graph_usage
from audio_dcls.inference.export.waveform_graph import WaveformGraph, export_program
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint


def _write(loaded: LoadedCheckpoint, path: Path, _: ExportOptions) -> WrittenModel:
    info = describe(loaded)
    graph = WaveformGraph(loaded.model, loaded.activation)
    program = export_program(graph, clip_samples=info.clip_samples, min_samples=info.min_samples)
    info = info.with_min_samples(max(int(values.lower) for values in program.range_constraints.values()))
    torch.export.save(program, path, extra_files={f"{METADATA_KEY}.json": info.to_json()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its own reader
        module: Any = torch.export.load(path).module()

    def run(windows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(windows))[0].numpy()

    return WrittenModel(info, run)


TORCH_EXPORT = ExportFormat("torch-export", ".pt2", _write, graph_usage)
