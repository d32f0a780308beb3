"""The chapter on saliency: which parts of a clip make the model give a tag."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from audio_dcls.errors import NothingToShowError
from audio_dcls.inspection.report.item import ReportItem
from audio_dcls.inspection.report.subject import Subject
from audio_dcls.inspection.saliency import (
    draw_saliency,
    grad_cam,
    insertion_and_deletion,
    integrated_gradients,
    last_map_layer,
)

_SALIENCY_CLIPS = 2
_SMOOTHING = (2.0, 6.0)
"""Standard deviations, in bands and frames, of the smoothing of integrated gradients before they are drawn and ranked;
without it, single cells are noise."""


def saliency(subject: Subject) -> Iterator[ReportItem]:
    """The cells that make the model give a clip its highest tag, by two methods."""
    spectrograms = subject.spectrograms()
    if spectrograms is None or subject.waveforms is None:
        raise NothingToShowError("there are no clips to look at; name some by --clips")
    for number, place in enumerate(_clearest(subject, spectrograms), 1):
        yield _saliency_of(subject, number, place, spectrograms[place : place + 1])


@torch.no_grad()
def _clearest(subject: Subject, spectrograms: Tensor) -> list[int]:
    """The clips with the highest scores, each for a different tag."""
    logits = torch.cat([subject.model.backbone(one[None]) for one in spectrograms])
    scores, tags = subject.probabilities(logits).max(dim=1)
    found: dict[int, int] = {}
    for place in scores.argsort(descending=True).tolist():
        found.setdefault(int(tags[place]), place)
    return list(found.values())[:_SALIENCY_CLIPS]


def _saliency_of(subject: Subject, number: int, place: int, spectrogram: Tensor) -> ReportItem:
    backbone = subject.model.backbone
    with torch.no_grad():
        silence = subject.model.spectrogram(torch.zeros(1, subject.frontend.clip_samples))
        probabilities = subject.probabilities(backbone(spectrogram))[0]
    tag = int(probabilities.argmax())
    name, score = subject.labels.names[tag], float(probabilities[tag])
    gradients, missing = integrated_gradients(backbone, spectrogram, silence, tag)
    saliencies = {
        "Grad-CAM": grad_cam(backbone, last_map_layer(backbone), spectrogram, tag),
        "integrated gradients": gaussian_filter(np.maximum(gradients, 0), _SMOOTHING),
    }
    random = np.random.default_rng(place).random(gradients.shape)

    def score_of(cells: Tensor) -> Tensor:
        return subject.probabilities(backbone(cells))[:, tag]

    curves = {
        method: insertion_and_deletion(score_of, spectrogram, silence, values)
        for method, values in {**saliencies, "random order": random}.items()
    }
    config = subject.frontend
    shown_db = spectrogram[0, 0].double().numpy() * config.std_db + config.mean_db
    title = f"Saliency of “{name}” (score {score:.2f}) in {subject.clip_names[place]}"
    figure = draw_saliency(shown_db, saliencies, curves, config, title, subject.facts)
    rows = [
        {
            "clip": subject.clip_names[place],
            "tag": name,
            "score": score,
            "method": method,
            "insertion_area": curve.insertion_area,
            "deletion_area": curve.deletion_area,
            "share_of_cells": float(fraction),
            "put_in": float(put_in),
            "taken_out": float(taken_out),
        }
        for method, curve in curves.items()
        for fraction, put_in, taken_out in zip(curve.fractions, curve.insertion, curve.deletion, strict=True)
    ]
    caption = (
        "Grad-CAM at the last map, and integrated gradients from silence (smoothed; their sum misses the difference of "
        f"the logits by {missing:.2g}). Brighter cells count more; the largest half per cent is drawn alike. Below: "
        "the score while cells are put in and taken out, with the areas under the curves."
    )
    return ReportItem(f"saliency_{number}", caption, figure, rows)
