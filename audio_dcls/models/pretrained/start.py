"""Build the tagger that a training starts with, and load the trained weights that its config names."""

from __future__ import annotations

from torch import nn

from audio_dcls.dcls.swap.plan import SwapReport
from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models.config import ModelConfig
from audio_dcls.models.pretrained.loading import load_pretrained
from audio_dcls.models.pretrained.sources import check_swap, read_weights
from audio_dcls.models.pretrained_report import PretrainedReport
from audio_dcls.models.tagger import AudioTagger, assemble_tagger, build_tagger, build_tagger_backbone, swap_backbone


def start_tagger(
    model: ModelConfig, frontend: FrontendConfig, num_classes: int, labels: LabelSet | None = None
) -> AudioTagger:
    """Build a tagger for `num_classes` classes, and load trained weights if `model.pretrained` is true.

    With `labels`, the rows of a trained classifier are matched to the classes; without, only its shape is compared.

    Raises:
        ModelError: the model cannot be built as asked, or a clip is too short for it.
        PretrainedError: the weights are not available or do not fit.
    """
    if not model.pretrained:
        return build_tagger(model, frontend, num_classes)
    backbone = build_tagger_backbone(model, frontend, num_classes)
    swap_report, report = _load(backbone, model, labels)
    return assemble_tagger(backbone, model, frontend, swap_report=swap_report, pretrained_report=report)


def _load(
    backbone: nn.Module, model: ModelConfig, labels: LabelSet | None
) -> tuple[SwapReport | None, PretrainedReport]:
    """Swap a backbone and load its weights, in the order that `model.dcls.transfer` requires."""
    dcls = model.dcls
    weights = read_weights(model.name, model.pretrained_file, dcls)
    check_swap(weights, dcls)
    if dcls is None:
        return None, load_pretrained(backbone, model.name, weights, labels)
    if dcls.transfer == "random" or weights.dcls is not None:
        swap_report = swap_backbone(backbone, dcls.at_random())
        return swap_report, load_pretrained(backbone, model.name, weights, labels)
    loaded = load_pretrained(backbone, model.name, weights, labels)
    swap_report = swap_backbone(backbone, dcls)
    return swap_report, loaded.after_swap(swap_report, backbone.state_dict())
