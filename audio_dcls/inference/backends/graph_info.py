"""The metadata of an exported graph: the names of its inputs and outputs, its classes and its lengths.

Axes: B batch, T samples, C classes, D features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from audio_dcls.errors import CheckpointError
from audio_dcls.labels import LabelSet
from audio_dcls.models.activation import Activation, stored_activation

INPUT_NAME = "waveforms"
OUTPUT_NAMES = ("probabilities", "embeddings")
METADATA_KEY = "audio_dcls_graph"
"""Key of the JSON: a metadata property of ONNX, the runtime info of OpenVINO, the metadata of safetensors."""
GRAPH_VERSION = 1


@dataclass(frozen=True)
class GraphInfo:
    """The metadata that a program needs to use an exported graph."""

    labels: LabelSet
    """The classes, in the order of the probabilities."""
    sample_rate_hz: int
    clip_samples: int
    """Length of the clips it was trained on."""
    min_samples: int
    """Shortest sound it takes."""
    activation: Activation
    thresholds: np.ndarray | None
    """(C,) probabilities, infinity for a class that never counts; None if they were not fitted."""
    details: Mapping[str, Any]
    """Configs, scores and versions of the checkpoint, for people."""

    def to_json(self) -> str:
        """Return the JSON that is stored in a graph."""
        thresholds = self.thresholds
        if thresholds is not None:
            # JSON has no infinity.
            thresholds = [float(value) if np.isfinite(value) else None for value in thresholds]
        return json.dumps(
            {
                "graph_version": GRAPH_VERSION,
                "sample_rate_hz": self.sample_rate_hz,
                "clip_samples": self.clip_samples,
                "min_samples": self.min_samples,
                "activation": self.activation,
                "thresholds": thresholds,
                "labels": self.labels.to_json_dict(),
                "details": dict(self.details),
            }
        )

    @classmethod
    def from_json(cls, text: str | None, path: str | Path) -> GraphInfo:
        """Read what `to_json` wrote; None if the file at `path` has no metadata.

        A `CheckpointError` says that the file is not an exported tagger, or that a newer program wrote it.
        """
        values = _parse(text, path)
        version = values["graph_version"]
        if version > GRAPH_VERSION:
            raise CheckpointError(
                f"'{path}' was exported in format {version}, this program reads up to {GRAPH_VERSION}; upgrade "
                "audio-dcls"
            )
        thresholds = values["thresholds"]
        if thresholds is not None:
            thresholds = np.array([np.inf if value is None else value for value in thresholds], dtype=np.float64)
        return cls(
            LabelSet.from_json_dict(values["labels"]),
            values["sample_rate_hz"],
            values["clip_samples"],
            values["min_samples"],
            stored_activation(values, path),
            thresholds,
            values["details"],
        )

    def with_min_samples(self, min_samples: int) -> GraphInfo:
        """Return a copy whose shortest sound has at least this length."""
        return replace(self, min_samples=max(self.min_samples, min_samples))


def _parse(text: str | None, path: str | Path) -> dict[str, Any]:
    if not text:
        raise CheckpointError(
            f"'{path}' was not written by `audio-dcls export`: it does not name its classes; export the "
            "checkpoint again"
        )
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"'{path}' has damaged metadata ({error}); export the checkpoint again") from error
    if not isinstance(values, dict) or "graph_version" not in values:
        raise CheckpointError(f"'{path}' is not an exported tagger; export a checkpoint with `audio-dcls export`")
    return values
