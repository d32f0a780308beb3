"""Export a checkpoint for other programs, check what was written, and load it again.

Axis legend: W windows, T samples, C classes.
"""

from __future__ import annotations

import copy
import os
import tempfile
import typing
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch

from audio_dcls.dcls import freeze
from audio_dcls.errors import ArgumentError, ModelError
from audio_dcls.files import write_atomically
from audio_dcls.inference.backends.backend import Backend
from audio_dcls.inference.backends.graph_info import METADATA_KEY, GraphInfo
from audio_dcls.inference.backends.onnx_backend import OnnxBackend
from audio_dcls.inference.backends.openvino_backend import OpenVinoBackend
from audio_dcls.inference.backends.torch_backend import TorchBackend
from audio_dcls.inference.export.graph_card import describe, graph_usage, model_card
from audio_dcls.inference.export.onnx_graph import OPSET, encode_onnx
from audio_dcls.inference.export.openvino_graph import convert_to_openvino
from audio_dcls.inference.export.parity import TOLERANCE, Parity, check_parity, made_sounds
from audio_dcls.inference.export.quantise import quantise_onnx, use_products
from audio_dcls.inference.export.waveform_graph import WaveformGraph, export_program
from audio_dcls.models.activation import activate
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint

Format = Literal["onnx", "openvino", "torch-export", "safetensors"]
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2", "safetensors": ".safetensors"}
TOLERANCES = {"onnx": TOLERANCE, "openvino": 1e-3, "torch-export": TOLERANCE, "safetensors": TOLERANCE}
"""Largest difference of a probability from the model. OpenVINO has no Fourier transform in float64; what it computes in
bands that are all but empty is rounding, as above the range of a sound of low rate."""
_Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    card_path: Path
    format: Format
    num_bytes: int
    """Of the graph and its weights."""
    info: GraphInfo
    parity: Parity
    scores: dict[str, float] = field(default_factory=dict)
    """mAP of the "checkpoint" and of what was "exported"; empty where it was not measured."""

    def to_json_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "path": str(self.path),
            "card": str(self.card_path),
            "format": self.format,
            "num_bytes": self.num_bytes,
            "min_samples": self.info.min_samples,
            "parity": {
                "num_sounds": self.parity.num_sounds,
                "from_model": self.parity.eager,
                "from_float64": self.parity.exact,
                "model_from_float64": self.parity.rounding,
            },
            "mAP": self.scores or None,
        }


def export_checkpoint(
    loaded: LoadedCheckpoint,
    path: str | Path,
    format: Format = "onnx",
    *,
    int8: bool = False,
    opset: int = OPSET,
    sounds: Iterable[np.ndarray] | None = None,
    measure: Callable[[Backend], float] | None = None,
) -> Exported:
    """Write a checkpoint in another format, checked against the model, and a model card beside it.

    Nothing is left at `path` where the check fails.

    Args:
        loaded: the checkpoint; its model stays as it is.
        path: file to write; its suffix is that of the format.
        format: "onnx"; "openvino", an .xml and a .bin; "torch-export", torch's exported program; "safetensors", the
            weights with their kernels built, under timm's names.
        int8: weights of matrix products in eight bits, for "onnx".
        opset: of "onnx".
        sounds: (T,) each, at the model's rate, to check with; made ones if None.
        measure: a backend's mAP on a corpus, for the card.

    Raises:
        ArgumentError: an argument breaks its rule, or a package is not installed.
        ModelError: what was written does not give what the model gives.
    """
    path = Path(path)
    _check_arguments(path, format, int8, measure is not None)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        info, run, backend = _WRITERS[format](loaded, draft, int8, opset)
        if sounds is None:
            sounds = made_sounds(info.min_samples, info.sample_rate_hz)
        tolerance = TOLERANCES[format]
        parity = check_parity(loaded, run, sounds, min_samples=info.min_samples, tolerance=tolerance)
        if not (parity.is_kept or int8):
            raise ModelError(
                f"what was exported to '{path}' differs from the model by {parity.eager:.1e} in a probability, and "
                f"must by {tolerance:g} at most; use another --format or --opset, and report this model"
            )
        scores = {}
        if measure is not None and backend is not None:
            eager = TorchBackend(copy.deepcopy(loaded.model), loaded.activation)
            scores = {"checkpoint": measure(eager), "exported": measure(backend)}
        files = sorted(Path(folder).iterdir(), key=lambda file: file.suffix != ".bin")
        num_bytes = sum(file.stat().st_size for file in files)
        for file in files:
            os.replace(file, path.with_name(file.name))
    card_path = path.with_name(f"{path.name}.md")
    exported = Exported(path, card_path, format, num_bytes, info, parity, scores)
    write_atomically(card_path, _card(exported, loaded, int8, opset).encode())
    return exported


def _check_arguments(path: Path, format: Format, int8: bool, measures: bool) -> None:
    if format not in typing.get_args(Format):
        raise ArgumentError(f"`format` (={format!r}) must be one of {', '.join(typing.get_args(Format))}")
    if path.suffix != SUFFIXES[format]:
        raise ArgumentError(f"`path` (='{path}') must end with {SUFFIXES[format]} for the format '{format}'")
    if int8 and format != "onnx":
        raise ArgumentError(f"`int8` is for the format 'onnx', not for '{format}'; leave it out")
    if measures and format not in ("onnx", "openvino"):
        raise ArgumentError(f"`measure` is for the formats 'onnx' and 'openvino', not for '{format}'; leave it out")


def _write_onnx(loaded: LoadedCheckpoint, path: Path, int8: bool, opset: int) -> tuple[GraphInfo, _Run, Backend | None]:
    info = describe(loaded)
    graph = WaveformGraph(loaded.model, loaded.activation)
    content = encode_onnx(use_products(graph) if int8 else graph, info, opset=opset)
    write_atomically(path, quantise_onnx(content) if int8 else content)
    backend = OnnxBackend(path)
    return info, lambda windows: backend.run(windows)[0], backend


def _write_openvino(
    loaded: LoadedCheckpoint, path: Path, int8: bool, opset: int
) -> tuple[GraphInfo, _Run, Backend | None]:
    import openvino

    info = describe(loaded)
    model = convert_to_openvino(WaveformGraph(loaded.model, loaded.activation, frontend="convolution"), info)
    openvino.save_model(model, str(path), compress_to_fp16=False)
    backend = OpenVinoBackend(path)
    return info, lambda windows: backend.run(windows)[0], backend


def _write_program(
    loaded: LoadedCheckpoint, path: Path, int8: bool, opset: int
) -> tuple[GraphInfo, _Run, Backend | None]:
    info = describe(loaded)
    graph = WaveformGraph(loaded.model, loaded.activation)
    program = export_program(graph, clip_samples=info.clip_samples, min_samples=info.min_samples)
    info = info.with_min_samples(max(int(values.lower) for values in program.range_constraints.values()))
    torch.export.save(program, path, extra_files={f"{METADATA_KEY}.json": info.to_json()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own reading
        again: Any = torch.export.load(path).module()

    def run(windows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return again(torch.from_numpy(windows))[0].numpy()

    return info, run, None


def _write_weights(
    loaded: LoadedCheckpoint, path: Path, int8: bool, opset: int
) -> tuple[GraphInfo, _Run, Backend | None]:
    info = describe(loaded)
    frozen: Any = freeze(copy.deepcopy(loaded.model).cpu().float().eval())
    tensors = {name: tensor.detach().contiguous() for name, tensor in frozen.backbone.state_dict().items()}
    write_atomically(path, safetensors.torch.save(tensors, metadata={METADATA_KEY: info.to_json()}))
    with torch.no_grad():
        for parameter in frozen.parameters():
            parameter.zero_()
    frozen.backbone.load_state_dict(safetensors.torch.load_file(path))

    def run(windows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return activate(frozen(torch.from_numpy(windows.copy())), info.activation).numpy()

    return info, run, None


_WRITERS = {
    "onnx": _write_onnx,
    "openvino": _write_openvino,
    "torch-export": _write_program,
    "safetensors": _write_weights,
}


def _card(exported: Exported, loaded: LoadedCheckpoint, int8: bool, opset: int) -> str:
    parity = exported.parity
    facts = {
        "file": f"`{exported.path.name}`, {exported.num_bytes / 1e6:.1f} MB",
        "format": exported.format + (f", opset {opset}" if exported.format == "onnx" else "") + (", int8" * int8),
        "exported from": f"`{loaded.path.name}`",
        "largest difference of a probability": f"{parity.eager:.1e} from the model, {parity.exact:.1e} from it in "
        f"float64 (the model's own is {parity.rounding:.1e}), over {parity.num_sounds} sounds",
    }
    if exported.scores:
        facts["mAP measured"] = (
            f"{exported.scores['exported']:.4f} of this file, {exported.scores['checkpoint']:.4f} of the checkpoint "
            "on the same clips"
        )
    elif int8:
        facts["mAP measured"] = "not measured: what eight bits cost is not known"
    if exported.format == "safetensors":
        use = (
            "Weights of the backbone under timm's names, with the kernels of DCLS layers built, so that a plain "
            "convolution of their size takes them. Classes, spectrogram and configs stand as JSON under "
            f"`{METADATA_KEY}` in the file's metadata."
        )
    else:
        use = graph_usage(exported.info)
        if exported.format == "openvino":
            use += (
                ' Compile it with `{"INFERENCE_PRECISION_HINT": "f32"}`: by itself OpenVINO computes in bfloat16 or '
                "float16 where the device has it, and probabilities then differ by a tenth and more."
            )
    return model_card(exported.info, facts, {"Use": use})
