"""What `audio-dcls export` must know of a file format: one `ExportFormat` per format.

Axes: W windows, T samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio_dcls.choices import ExportFormat as FormatName
from audio_dcls.inference.backends.backend import Backend
from audio_dcls.inference.backends.graph_info import GraphInfo
from audio_dcls.inference.export.parity import TOLERANCE
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint


@dataclass(frozen=True)
class ExportOptions:
    """Options that only some formats take."""

    int8: bool
    """Store the weights of matrix products in eight bits."""
    opset: int
    """Version of ONNX's operators."""


@dataclass(frozen=True)
class WrittenModel:
    """A file that was written and loaded again."""

    info: GraphInfo
    run: Callable[[np.ndarray], np.ndarray]
    """Computes probabilities (W, C) of windows (W, T) from the file; it is compared with the model."""
    backend: Backend | None = None
    """Measures the file on a corpus; None if `can_measure` is False."""


@dataclass(frozen=True)
class ExportFormat:
    """A file format of `audio-dcls export`."""

    name: FormatName
    suffix: str
    """How the name of a file ends, with the dot."""
    write: Callable[[LoadedCheckpoint, Path, ExportOptions], WrittenModel]
    """Writes the file and loads it again. It must not change the checkpoint's model."""
    usage: Callable[[GraphInfo], str]
    """The paragraph of the model card that says how to use the file."""
    tolerance: float = TOLERANCE
    """Largest difference between a probability of the file and of the model; a larger one needs a reason."""
    takes_int8: bool = False
    takes_opset: bool = False
    can_measure: bool = False
    """True if `write` returns a backend."""
