"""Export a checkpoint for other programs, and check the file against the model.

Axes: T samples.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audio_dcls.choices import ExportFormat as FormatName
from audio_dcls.errors import ArgumentError, ModelError
from audio_dcls.files import write_atomically
from audio_dcls.inference.backends.backend import Backend
from audio_dcls.inference.backends.graph_info import GraphInfo
from audio_dcls.inference.backends.torch_backend import TorchBackend
from audio_dcls.inference.export.export_format import ExportFormat, ExportOptions
from audio_dcls.inference.export.formats import FORMATS
from audio_dcls.inference.export.graph_card import model_card
from audio_dcls.inference.export.onnx_graph import OPSET
from audio_dcls.inference.export.parity import Parity, check_parity, made_sounds
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint


@dataclass(frozen=True)
class Exported:
    """An export that was written and checked."""

    path: Path
    card_path: Path
    format: FormatName
    num_bytes: int
    """Size of the graph and its weights."""
    info: GraphInfo
    parity: Parity
    scores: dict[str, float] = field(default_factory=dict)
    """mAP of the "checkpoint" and of the "exported" file; empty if it was not measured."""

    def to_json_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
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
    format: FormatName = "onnx",
    *,
    int8: bool = False,
    opset: int = OPSET,
    sounds: Iterable[np.ndarray] | None = None,
    measure: Callable[[Backend], float] | None = None,
) -> Exported:
    """Write a checkpoint in another format, check it against the model, and write a model card next to it.

    If the check fails, no file is left at `path`.

    Args:
        loaded: the checkpoint; its model is not changed.
        path: file to write; its suffix must be that of the format.
        format: "onnx"; "openvino", an .xml and a .bin; "torch-export", torch's exported program; "safetensors", the
            weights under timm's names, with their kernels built.
        int8: store the weights of matrix products in eight bits ("onnx" only).
        opset: version of the operators ("onnx" only).
        sounds: waveforms (T,) at the model's rate to check with; generated ones if None.
        measure: returns the mAP of a backend on a corpus, for the card.

    Raises:
        ArgumentError: an argument breaks its rule, or a package is not installed.
        ModelError: the probabilities of the file differ from those of the model.
    """
    path = Path(path)
    entry = _checked_format(path, format, int8, measure is not None)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
        written = entry.write(loaded, Path(folder) / path.name, ExportOptions(int8, opset))
        info = written.info
        if sounds is None:
            sounds = made_sounds(info.min_samples, info.sample_rate_hz)
        parity = check_parity(loaded, written.run, sounds, min_samples=info.min_samples, tolerance=entry.tolerance)
        if not (parity.is_kept or int8):
            raise ModelError(
                f"a probability of the file exported to '{path}' differs from the model by {parity.eager:.1e}, and may "
                f"differ by {entry.tolerance:g} at most; use another --format or --opset, and report this model"
            )
        scores = {}
        if measure is not None and written.backend is not None:
            eager = TorchBackend(copy.deepcopy(loaded.model), loaded.activation)
            scores = {"checkpoint": measure(eager), "exported": measure(written.backend)}
        files = sorted(Path(folder).iterdir(), key=lambda file: file.suffix != ".bin")
        num_bytes = sum(file.stat().st_size for file in files)
        for file in files:
            os.replace(file, path.with_name(file.name))
    card_path = path.with_name(f"{path.name}.md")
    exported = Exported(path, card_path, format, num_bytes, info, parity, scores)
    write_atomically(card_path, _card(exported, entry, loaded, ExportOptions(int8, opset)).encode())
    return exported


def _checked_format(path: Path, format: str, int8: bool, measures: bool) -> ExportFormat:
    entry = FORMATS.get(format)
    if entry is None:
        raise ArgumentError(f"`format` (={format!r}) must be one of {', '.join(FORMATS)}")
    if path.suffix != entry.suffix:
        raise ArgumentError(f"`path` (='{path}') must end with {entry.suffix} for the format '{format}'")
    for name, is_set, attribute in (("int8", int8, "takes_int8"), ("measure", measures, "can_measure")):
        if is_set and not getattr(entry, attribute):
            able = " and ".join(f"'{other.name}'" for other in FORMATS.values() if getattr(other, attribute))
            raise ArgumentError(f"`{name}` works with {able}, not with the format '{format}'; leave it out")
    return entry


def _card(exported: Exported, entry: ExportFormat, loaded: LoadedCheckpoint, options: ExportOptions) -> str:
    parity = exported.parity
    facts = {
        "file": f"`{exported.path.name}`, {exported.num_bytes / 1e6:.1f} MB",
        "format": entry.name + f", opset {options.opset}" * entry.takes_opset + ", int8" * options.int8,
        "exported from": f"`{loaded.path.name}`",
        "largest difference of a probability": f"{parity.eager:.1e} from the model, {parity.exact:.1e} from the model "
        f"in float64 (the model itself differs by {parity.rounding:.1e}), over {parity.num_sounds} sounds",
    }
    if exported.scores:
        facts["mAP measured"] = (
            f"{exported.scores['exported']:.4f} of this file, {exported.scores['checkpoint']:.4f} of the checkpoint "
            "on the same clips"
        )
    elif options.int8:
        facts["mAP measured"] = "not measured: the loss of accuracy by eight bits is not known"
    return model_card(exported.info, facts, {"Use": entry.usage(exported.info)})
