"""Convert taggers in the authors' files into checkpoints of this program."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from audio_dcls.errors import CheckpointError
from audio_dcls.files import file_sha256
from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models.authors_weights import AuthorsWeights, read_authors_weights, to_timm_state
from audio_dcls.models.backbones import build_backbone
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint
from audio_dcls.models.config import DclsConfig, ModelConfig
from audio_dcls.models.tagger import AudioTagger, build_tagger

_PACKAGES = ("audio-dcls", "torch", "timm")


@dataclass(frozen=True)
class ConvertedTagger:
    """A tagger of the authors as a model of this program; all `num_entries` of its file are used."""

    tagger: AudioTagger
    model_config: ModelConfig
    frontend_config: FrontendConfig
    labels: LabelSet
    source: Path
    num_entries: int


def convert_tagger(
    source: str | Path,
    *,
    name: str | None = None,
    labels: LabelSet | None = None,
    frontend: FrontendConfig | None = None,
    dcls: DclsConfig | None = None,
) -> ConvertedTagger:
    """Build the tagger that a file in the authors' naming holds.

    Depths, widths, and the numbers of classes and elements are read from the file. What the shapes do not determine is
    taken from the arguments, whose defaults are the paper's.

    Args:
        source: a .pth file, from which nothing is run, or a .safetensors file with the same names.
        name: timm's name of the backbone; None means the member of its family that the authors published.
        labels: its classes; None means AudioSet's 527.
        frontend: its spectrogram.
        dcls: size, interpolation and sharing of its kernels; None means those of the published models.

    Raises:
        CheckpointError: the file cannot be read, is not a tagger, or does not fit.
    """
    weights = read_authors_weights(source)
    labels = LabelSet.audioset() if labels is None else labels
    if not weights.is_tagger:
        raise CheckpointError(
            f"weights '{source}' are of an image model: their stem is not one for spectrograms; start a "
            "training from them with model.pretrained=true and model.pretrained_file"
        )
    if weights.num_classes != len(labels):
        raise CheckpointError(
            f"weights '{source}' have {weights.num_classes} classes, but the labels have {len(labels)}; give the "
            "label file that they were trained with"
        )
    if dcls is None and weights.kernel_count not in (None, DclsConfig().kernel_count):
        raise CheckpointError(
            f"weights '{source}' have {weights.kernel_count} elements per kernel, not {DclsConfig().kernel_count} as "
            "the published ones have, so the size of the kernels is unknown; give the size and the interpolation"
        )
    model_config = _model_config(weights, name or weights.layout.member, dcls or DclsConfig())
    frontend = frontend or FrontendConfig()
    with torch.random.fork_rng(devices=[]):
        tagger = build_tagger(model_config, frontend, len(labels)).eval()
    tagger.backbone.load_state_dict(to_timm_state(weights, tagger.backbone))
    return ConvertedTagger(tagger, model_config, frontend, labels, Path(source), len(weights.state))


def convert_checkpoint(
    source: str | Path, target: str | Path, *, info: Mapping[str, Any] | None = None, **options: Any
) -> ConvertedTagger:
    """Write the tagger of a file in the authors' naming as a checkpoint of this program.

    Args:
        source: the authors' file.
        target: the .safetensors file to write, atomically.
        info: further JSON, such as `licence` and `metrics`; the name and sha256 of the source are added.
        options: arguments of `convert_tagger`.

    Raises:
        CheckpointError: as `convert_tagger`.
    """
    converted = convert_tagger(source, **options)
    document = {
        "seed": None,
        "step": None,
        "metrics": None,
        **(info or {}),
        "converted_from": {"file": Path(source).name, "sha256": file_sha256(Path(source))},
        "versions": {package: importlib.metadata.version(package) for package in _PACKAGES},
    }
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(
        Path(target),
        converted.tagger,
        model_config=converted.model_config,
        frontend_config=converted.frontend_config,
        labels=converted.labels,
        info=document,
    )
    return converted


def _model_config(weights: AuthorsWeights, name: str, dcls: DclsConfig) -> ModelConfig:
    """The config of a file's model; it names only the sizes that differ from those of `name`."""
    with torch.device("meta"):
        backbone: Any = build_backbone(name, num_classes=1)
    depths = tuple(len(stage.blocks) for stage in backbone.stages)
    dims = tuple(stage["num_chs"] for stage in backbone.feature_info)
    overrides: dict[str, Any] = {}
    if depths != weights.depths:
        overrides["depths"] = list(weights.depths)
    if dims != weights.dims:
        overrides["dims"] = list(weights.dims)
    swap = None if weights.kernel_count is None else dcls.model_copy(update={"kernel_count": weights.kernel_count})
    return ModelConfig(name=name, overrides=overrides, dcls=swap)
