"""The chapter on receptive fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.inspection.receptive_field import (
    area_share,
    draw_effective_fields,
    effective_field,
    reach_table,
    theoretical_reach,
)
from audio_dcls.inspection.report.item import ReportItem
from audio_dcls.inspection.report.subject import Subject

_SHARES = (0.2, 0.3, 0.5, 0.9, 0.99)


def receptive_field(subject: Subject) -> Iterator[ReportItem]:
    """Theoretical and effective receptive fields."""
    backbone = subject.model.backbone
    yield ReportItem(
        "receptive_field",
        "Theoretical receptive field after each block, from the sizes and strides of the kernels (thesis, table 6.1).",
        None,
        _reach_rows(subject),
    )
    spectrograms = subject.spectrograms()
    if spectrograms is None:
        return
    fields = {
        "learned" if dcls_layers(backbone) else "this model": effective_field(subject.forward_features, spectrograms)
    }
    at_zero = _with_positions_at_zero(subject, spectrograms)
    if at_zero is not None:
        fields["positions at zero"] = at_zero
    if subject.comparison is not None and subject.comparison.other_model is not None:
        other: Any = subject.comparison.other_model
        with torch.no_grad():
            theirs = other.spectrogram(subject.waveforms)
        fields[subject.comparison.other_name] = effective_field(other.backbone.forward_features, theirs)
    rows = [
        {"model": name, "share": share, "area": area_share(one, share)}
        for name, one in fields.items()
        for share in _SHARES
    ]
    caption = (
        "Effective receptive field of the middle of the last map on real clips, and the parts of the spectrogram that "
        "contain given shares of it."
    )
    figure = draw_effective_fields(fields, subject.frontend, f"{subject.facts}; {len(spectrograms)} clips")
    yield ReportItem("effective_field", caption, figure, rows)


def _reach_rows(subject: Subject) -> list[dict[str, Any]]:
    """A row per block; for a model with DCLS also the field of its twin with plain kernels."""
    rows = reach_table(theoretical_reach(subject.model.backbone, _is_block), subject.frontend)
    if subject.twin is None:
        return rows
    plain = reach_table(theoretical_reach(subject.twin, _is_block), subject.frontend)
    compared = ("bands", "frames", "seconds")
    return [row | {f"7x7_{name}": other[name] for name in compared} for row, other in zip(rows, plain, strict=True)]


def _is_block(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 4 and parts[0] == "stages" and parts[2] == "blocks" and parts[3].isdigit()


def _with_positions_at_zero(subject: Subject, spectrograms: Tensor) -> np.ndarray | None:
    """The effective field with all elements in the centres of their kernels."""
    layers = list(dcls_layers(subject.model).values())
    if not layers:
        return None
    learned = [layer.positions.detach().clone() for layer in layers]
    try:
        with torch.no_grad():
            for layer in layers:
                layer.positions.zero_()
        return effective_field(subject.forward_features, spectrograms)
    finally:
        with torch.no_grad():
            for layer, positions in zip(layers, learned, strict=True):
                layer.positions.copy_(positions)
