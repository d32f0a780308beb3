"""The subject of a report: a trained tagger, its training, and clips to look at it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audio_dcls.dcls.history import PositionHistory
from audio_dcls.dcls.history_files import read_history
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inspection.comparison import Comparison
from audio_dcls.inspection.element_sets import ElementSet, element_sets
from audio_dcls.inspection.measured_clips import MeasuredClips
from audio_dcls.labels import LabelSet
from audio_dcls.models import AudioTagger, ModelConfig, build_tagger
from audio_dcls.models.activation import Activation, activate
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.run_files import read_metrics
from audio_dcls.settings import build


@dataclass(eq=False)
class Subject:
    """A tagger to inspect."""

    model: AudioTagger
    """In evaluation mode, its DCLS layers not frozen."""
    frontend: FrontendConfig
    facts: str
    """The line under every title: model, seed, data, score."""
    labels: LabelSet
    activation: Activation = "sigmoid"
    history: PositionHistory = field(default_factory=PositionHistory)
    epochs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(R,) epochs of the history's records."""
    rates: tuple[list[float], list[float]] | None = None
    """Epochs, and the learning rate at each."""
    waveforms: Tensor | None = None
    """(N, T) real clips at the model's rate."""
    clip_names: tuple[str, ...] = ()
    """(N,) names of the clips, for people."""
    twin: nn.Module | None = None
    """The same backbone without DCLS, on the meta device: it has no weights."""
    measured: MeasuredClips | None = None
    why_unmeasured: str = "the model belongs to no run here, so there are no clips to measure it on"
    comparison: Comparison | None = None

    @property
    def sets(self) -> list[ElementSet]:
        """The sets of elements of its DCLS layers."""
        return element_sets(self.model)

    @property
    def titles(self) -> dict[str, str]:
        """Titles of the sets, by name."""
        return {found.name: found.title for found in self.sets}

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities (N, C) from logits (N, C)."""
        return activate(logits, self.activation)

    @property
    def forward_features(self) -> Callable[[Tensor], Tensor]:
        """The backbone up to its last map."""
        backbone: Any = self.model.backbone
        return backbone.forward_features

    @torch.no_grad()
    def spectrograms(self) -> Tensor | None:
        """Normalised spectrograms of the clips, (N, 1, bands, frames); None without clips."""
        return None if self.waveforms is None else self.model.spectrogram(self.waveforms)


def build_subject(loaded: LoadedCheckpoint, run: RunDir | None = None) -> Subject:
    """A subject without clips; the history and metrics of the checkpoint's run, if there is one, are read."""
    facts, twin = describe(loaded.info), _twin(loaded)
    subject = Subject(loaded.model.eval(), loaded.frontend, facts, loaded.labels, loaded.activation, twin=twin)
    if run is None:
        return subject
    subject.history = read_history(run.positions_folder)
    lines = [line for line in read_metrics(run.metrics_path) if "epoch" in line]
    if any(line["epoch"] for line in lines):
        last = max(lines, key=lambda line: line["step"])
        subject.epochs = np.array(subject.history.steps) / (last["step"] / last["epoch"])
    rates = [(line["epoch"], line["rate"]) for line in lines if "rate" in line]
    if rates:
        subject.rates = ([epoch for epoch, _ in rates], [rate for _, rate in rates])
    return subject


def describe(info: dict[str, Any]) -> str:
    """One line about a checkpoint: model, seed, data, score and number of clips.

    >>> describe({"model": {"name": "convnext_tiny", "dcls": {}}, "seed": 0, "metrics": {"mAP": 0.4512}})
    'convnext_tiny with DCLS, seed 0, mAP 0.451'
    """
    model, scores = info["model"], info.get("metrics") or {}
    parts = [model["name"] + (" with DCLS" if model.get("dcls") is not None else "")]
    if info.get("seed") is not None:
        parts.append(f"seed {info['seed']}")
    data = ((info.get("config") or {}).get("data")) or {}
    sources = [data["demo_folder"]] if data.get("demo_folder") else data.get("manifests") or []
    if sources:
        parts.append(f"trained on {' + '.join(Path(source).name for source in sources)}")
    if scores.get("mAP") is not None:
        clips = f" on {scores['num_clips']} clips" if scores.get("num_clips") else ""
        parts.append(f"mAP {scores['mAP']:.3f}{clips}")
    return ", ".join(parts)


def _twin(loaded: LoadedCheckpoint) -> nn.Module | None:
    """The same backbone without DCLS, on the meta device; None if the model has no DCLS."""
    config = build(ModelConfig, loaded.info["model"], str(loaded.path))
    if config.dcls is None:
        return None
    plain = config.model_copy(update={"dcls": None, "fast_depthwise": False})
    with torch.device("meta"):
        return build_tagger(plain, loaded.frontend, len(loaded.labels)).backbone
