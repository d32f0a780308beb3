"""The chapters on clips: what speaks for a tag, where the model errs, how it differs from another."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import soundfile
import torch
from torch import Tensor

from audio_dcls.errors import NothingToShowError
from audio_dcls.evaluation.confusion import worst_missed
from audio_dcls.inspection import error_analysis as mistakes
from audio_dcls.inspection.comparison import difference_rows, draw_differences
from audio_dcls.inspection.evaluated import Evaluated
from audio_dcls.inspection.report.exhibit import Exhibit, Player
from audio_dcls.inspection.report.subject import Subject
from audio_dcls.inspection.saliency import (
    draw_saliency,
    grad_cam,
    insertion_and_deletion,
    integrated_gradients,
    last_map_layer,
)

SALIENCY_CLIPS = 2
NUM_WORST = 8
SMOOTHING_BANDS, SMOOTHING_FRAMES = 2.0, 6.0
"""Standard deviations by which integrated gradients are smoothed before they are drawn and ranked: single cells of
theirs are noise."""


def saliency(subject: Subject) -> Iterator[Exhibit]:
    """Which cells speak for a clip's highest tag, by two methods."""
    spectrograms = subject.spectrograms()
    if spectrograms is None or subject.waveforms is None:
        raise NothingToShowError("there are no clips to look at; name some by --clips")
    for number, place in enumerate(_clearest(subject, spectrograms), 1):
        yield _saliency_of(subject, number, place, spectrograms[place : place + 1])


@torch.no_grad()
def _clearest(subject: Subject, spectrograms: Tensor) -> list[int]:
    """Clips with the highest scores of different tags."""
    logits = torch.cat([subject.model.backbone(one[None]) for one in spectrograms])
    scores, tags = subject.probabilities(logits).max(dim=1)
    found: dict[int, int] = {}
    for place in scores.argsort(descending=True).tolist():
        found.setdefault(int(tags[place]), place)
    return list(found.values())[:SALIENCY_CLIPS]


def _saliency_of(subject: Subject, number: int, place: int, spectrogram: Tensor) -> Exhibit:
    backbone = subject.model.backbone
    with torch.no_grad():
        silence = subject.model.spectrogram(torch.zeros(1, subject.frontend.clip_samples))
        probabilities = subject.probabilities(backbone(spectrogram))[0]
    tag = int(probabilities.argmax())
    name, score = subject.labels.names[tag], float(probabilities[tag])
    gradients, missing = integrated_gradients(backbone, spectrogram, silence, tag)
    saliencies = {
        "Grad-CAM": grad_cam(backbone, last_map_layer(backbone), spectrogram, tag),
        "integrated gradients": _smoothed(np.maximum(gradients, 0)),
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
    title = f"What speaks for “{name}” (score {score:.2f}) in {subject.clip_names[place]}"
    figure = draw_saliency(shown_db, saliencies, curves, config, title, subject.facts)
    rows = [
        {
            "clip": subject.clip_names[place],
            "tag": name,
            "score": score,
            "method": method,
            "insertion_area": one.insertion_area,
            "deletion_area": one.deletion_area,
            "share_of_cells": float(fraction),
            "put_in": float(put_in),
            "taken_out": float(taken_out),
        }
        for method, one in curves.items()
        for fraction, put_in, taken_out in zip(one.fractions, one.insertion, one.deletion, strict=True)
    ]
    caption = (
        "Grad-CAM at the last map, and integrated gradients from silence, brighter for more, each up to its largest "
        "half per cent (the second smoothed; they miss "
        f"{missing:.2g} of the logit's difference). Areas under the curves of putting cells in and taking them out."
    )
    return Exhibit(f"saliency_{number}", caption, figure, rows)


def errors(subject: Subject) -> Iterator[Exhibit]:
    """Where the model errs on the clips it was measured on."""
    measured = subject.measured
    if measured is None:
        raise NothingToShowError(subject.why_unmeasured)
    facts = subject.facts
    yield Exhibit(
        "precision_by_frequency",
        "Average precision of every class that has a clip to be measured on, and how often the class occurs.",
        mistakes.draw_precision_by_frequency(measured, facts),
        mistakes.class_rows(measured),
    )
    yield Exhibit(
        "calibration",
        "Scores in bins: how many of the pairs of clip and class are labelled so. Below the diagonal scores promise "
        "too much, above it too little.",
        mistakes.draw_calibration(measured, facts),
        mistakes.calibration_rows(measured),
    )
    yield Exhibit(
        "confused_pairs",
        "Mean score of a class on clips that are labelled with another and not with it.",
        mistakes.draw_confused_pairs(measured, facts),
        mistakes.pair_rows(measured),
    )
    yield Exhibit(
        "co_occurrence",
        "Which classes come together, as clips are labelled and as the scores say.",
        mistakes.draw_co_occurrence(measured, facts),
        mistakes.co_occurrence_rows(measured),
    )
    yield _worst(measured)


def _worst(measured: Evaluated) -> Exhibit:
    names = measured.labels.names
    rows, players = [], []
    for clip, tag in worst_missed(measured.targets, measured.scores, NUM_WORST):
        top = int(measured.scores[clip].argmax())
        row = {
            "clip": measured.clip_ids[clip],
            "missed": names[tag],
            "its_score": float(measured.scores[clip, tag]),
            "heard": names[top],
            "that_score": float(measured.scores[clip, top]),
        }
        rows.append(row)
        missed, heard = f"{row['missed']} missed ({row['its_score']:.2f})", f"{row['heard']} heard"
        text = f"{row['clip']}: {missed}, {heard} ({row['that_score']:.2f})"
        players.append(Player(text, _mp3(measured.waveform(clip), measured.sample_rate_hz)))
    return Exhibit("worst_missed", "Labelled classes of the lowest scores, one a clip.", None, rows, tuple(players))


def compare(subject: Subject) -> Iterator[Exhibit]:
    """Class by class beside another run or study."""
    if subject.against is None:
        raise NothingToShowError("there is no other run to compare with; name one by --against")
    figure = draw_differences(subject.against, subject.facts.split(", seed ")[0])
    caption = "Difference of the average precision, with its standard deviation over seeds; the table has every class."
    yield Exhibit("compare", caption, figure, difference_rows(subject.against))


def _smoothed(values: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(values, (SMOOTHING_BANDS, SMOOTHING_FRAMES))


def _mp3(waveform: np.ndarray, sample_rate_hz: int) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, np.clip(waveform, -1, 1), sample_rate_hz, format="MP3")
    return content.getvalue()
